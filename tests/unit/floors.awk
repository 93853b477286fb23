# Reads CONTRIBUTING.md (its table of floors), then sources by their paths relative to the root of the tree, and
# prints each #include and #if that the house does not allow. See floors.sh.

function report(sentence)
{
    print path ":" FNR ": " sentence
}

# The room of a path relative to the root: "libdist/plan/", "kernels/", "libdist/" for the public functions.
function room_of(file)
{
    if (match(file, /^libdist\/[^\/]+\//) || match(file, /^[^\/]+\//))
        return substr(file, 1, RLENGTH)
    return ""
}

function check_room(name, quoted, target)
{
    if (name ~ /(^|\/)\.\.?\//)
        return report("\"" name "\": includes start at a room, not at .. or .")
    if (!quoted || name ~ /^libdist\//)
        return
    target = name ~ /^kernels\// ? "kernels/" : room_of("libdist/" name)
    if (target == room)
        return
    if (room == "kernels/" && name !~ /\//)
        return # a kernel header beside it
    if (!(target in floor))
        return report("\"" name "\" is in no room that CONTRIBUTING.md knows")
    if (floor[target] > floor[room])
        return report("\"" name "\" is upstairs: floor " floor[target] ", this is floor " floor[room])
    if (floor[target] == floor[room])
        return report("\"" name "\" is in another room of the same floor " floor[room])
}

FNR == 1 {
    path = FILENAME
    sub(/^\.\//, "", path)
    room = room_of(path)
}

path == "CONTRIBUTING.md" {
    # | 4 | `libdist/collective/`: generators | ... `libdist/*.c` stands for the files of libdist/ itself.
    if ($0 ~ /^\| *[0-9]+ *\|/) {
        split($0, cell, "|")
        text = cell[3]
        while (match(text, /`[^`]+`/)) {
            name = substr(text, RSTART + 1, RLENGTH - 2)
            text = substr(text, RSTART + RLENGTH)
            sub(/\*\.c$/, "", name)
            if (name ~ /\/$/) {
                floor[name] = cell[2] + 0
                floors++
            }
        }
    }
    next
}

FNR == 1 {
    if (floors < 8) {
        print "CONTRIBUTING.md: the table of floors cannot be read"
        exit
    }
    if (path ~ /^(libdist|kernels)\// && !(room in floor))
        report("a room that CONTRIBUTING.md gives no floor")
}

/^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)[ \t(!].*(CUDA|NCCL)/ {
    if (room !~ /^libdist\/(device|wire)\/$/ && !(room == "kernels/" && /__CUDACC__|__CUDA_ARCH__/))
        report("#if for CUDA or NCCL belongs to libdist/device/ and libdist/wire/")
}

/^[ \t]*#[ \t]*include/ {
    if (!match($0, /["<][^">]*[">]/))
        next
    name = substr($0, RSTART + 1, RLENGTH - 2)
    quoted = substr($0, RSTART, 1) == "\""
    first = room_of("libdist/" name)

    if (name ~ /^(libdist\/)?mpi\.h$/ && room != "libdist/wire/" && path !~ /^libdist\/[^\/]+\.[ch]$/ &&
        path !~ /^(benchmarks|examples)\// && path != "include/libdist/mpi.h")
        report("<" name "> belongs to libdist/wire/ and the public functions")
    if (!quoted && name ~ /^(base|kernels)\// || !quoted && first != "libdist/" && first in floor)
        report("<" name ">: headers of rooms are included with quotes")
    if (quoted && name ~ /^libdist\//)
        report("\"" name "\": public headers are included as <" name ">, others from their room")

    if (room == "kernels/" && name ~ /^libdist\//)
        report("kernels/ includes nothing of libdist")
    if (path ~ /^(libdist|kernels)\//)
        check_room(name, quoted)
    else if (path ~ /^include\//) {
        if (quoted)
            report("\"" name "\": a public header includes <libdist/...> and the system's")
    } else if (quoted && name ~ /\//)
        report("\"" name "\": programs include <libdist/...>, the system's and their own folder")
}
