# Reads names of kernels that may spill or use a stack (registers.allowed), then the report of ptxas. Prints a line for
# each kernel and architecture, with "not listed" where it spills or uses a stack and has no line in the list.

NR == FNR {
    if ($1 != "" && $1 !~ /^#/)
        allowed[$1] = 1
    next
}

function is_allowed(kernel, name)
{
    for (name in allowed) {
        if (index(kernel, name))
            return 1
    }
    return 0
}

/Compiling entry function/ {
    split($0, quoted, "'")
    kernel = quoted[2]
    where = quoted[4]
}

/bytes stack frame/ {
    stack = $1 + 0
    stores = $5 + 0
    loads = $9 + 0
}

/Used [0-9]+ registers/ && kernel != "" {
    match($0, /Used [0-9]+/)
    verdict = stack + stores + loads == 0 ? "" : is_allowed(kernel) ? ", listed" : ", not listed"
    printf "%s %s: %d registers, %d bytes of stack, %d stored and %d loaded by spills%s\n", where, kernel,
        substr($0, RSTART + 5, RLENGTH - 5), stack, stores, loads, verdict
    kernel = ""
    stack = stores = loads = 0
}
