/* What each collective promises, for dist_verify. */
#include <stdlib.h>

#include "base/error.h"
#include "collective/collective.h"

enum { INPUT_BUFFER = 0, OUTPUT_BUFFER = 1 };

static uint32_t output_buffer(const dist_spec *spec)
{
    return spec->in_place || spec->kind == DIST_BROADCAST ? INPUT_BUFFER : OUTPUT_BUFFER;
}

/* Rank r's input stands for these logical elements: reductions share one numbering, a gather gives each rank
 * its own. */
static dist_claim input_of(const dist_spec *spec, int r)
{
    uint64_t part = spec->count, ranks = (uint64_t)spec->topology->ranks,
             element = dist_type_bytes(spec->type);
    dist_claim claim = {.rank = r, .buffer = INPUT_BUFFER, .count = part, .from = r};
    if (spec->kind == DIST_REDUCE_SCATTER || spec->kind == DIST_ALL_TO_ALL)
        claim.count = part * ranks;
    if (spec->kind == DIST_ALL_TO_ALL)
        claim.first = (uint64_t)r * claim.count;
    if (spec->kind == DIST_ALL_GATHER) {
        claim.first = (uint64_t)r * part;
        claim.offset = spec->in_place ? claim.first * element : 0;
    }
    return claim;
}

/* Part i of rank r's output: a gather and an all-to-all promise one part for every rank. */
static dist_claim output_of(const dist_spec *spec, int r, int i)
{
    uint64_t part = spec->count, element = dist_type_bytes(spec->type);
    dist_claim claim = {.rank = r, .buffer = output_buffer(spec), .count = part, .from = -1};
    switch (spec->kind) {
    case DIST_REDUCE_SCATTER:
        claim.first = (uint64_t)r * part;
        claim.offset = spec->in_place ? claim.first * element : 0;
        break;
    case DIST_ALL_GATHER:
        claim.first = (uint64_t)i * part;
        claim.offset = claim.first * element;
        claim.from = i;
        break;
    case DIST_ALL_TO_ALL: /* block r of rank i */
        claim.first = ((uint64_t)i * (uint64_t)spec->topology->ranks + (uint64_t)r) * part;
        claim.offset = (uint64_t)i * part * element;
        claim.from = i;
        break;
    case DIST_BROADCAST:
        claim.from = spec->root;
        break;
    default:
        break;
    }
    return claim;
}

/* A send buffer stays as it was. A contract divides all outputs or none, so an average says nothing of it. */
static bool keeps_input(const dist_spec *spec, int divisor)
{
    return !spec->in_place && spec->kind != DIST_BROADCAST && divisor == 1;
}

/* The word that a barrier reduces in scratch: nobody has it before everybody came. */
static dist_spec word_of_barrier(const dist_spec *spec)
{
    dist_spec word = *spec;
    word.type = DIST_INT32;
    word.count = 1;
    word.in_place = true;
    return word;
}

static bool has_parts(const dist_spec *spec)
{
    return spec->kind == DIST_ALL_GATHER || spec->kind == DIST_ALL_TO_ALL;
}

static void fill(dist_contract *contract, const dist_spec *spec, dist_claim *input, dist_claim *output)
{
    int ranks = spec->topology->ranks, parts = has_parts(spec) ? ranks : 1;
    for (int r = 0; r < ranks; r++) {
        input[contract->inputs++] = input_of(spec, r);
        for (int i = 0; i < parts; i++)
            output[contract->outputs++] = output_of(spec, r, i);
        if (keeps_input(spec, contract->divisor))
            output[contract->outputs++] = input_of(spec, r);
    }
    contract->input = input;
    contract->output = output;
}

static dist_status no_memory(size_t ranks)
{
    return dist_fail(DIST_ERR_MEMORY, "no memory for the claims of %zu ranks", ranks);
}

/* Each rank's elements are its own; whose buffer nobody reads has none. */
static void fill_pairs(dist_contract *contract, const dist_spec *spec, const int *from, dist_claim *input,
                       dist_claim *output)
{
    for (int r = 0; r < spec->topology->ranks; r++) {
        if (from[r] < 0)
            continue;
        const uint64_t first = (uint64_t)from[r] * spec->count;
        const dist_claim sent = {
            .rank = from[r], .buffer = INPUT_BUFFER, .count = spec->count, .first = first, .from = from[r]};
        dist_claim received = sent;
        received.rank = r;
        received.buffer = OUTPUT_BUFFER;
        input[contract->inputs++] = sent;
        output[contract->outputs++] = received;
        output[contract->outputs++] = sent; /* stays as it was */
    }
    contract->input = input;
    contract->output = output;
}

dist_status dist_contract_begin_pairs(dist_contract *contract, const dist_spec *spec, const int *from)
{
    const size_t ranks = (size_t)spec->topology->ranks;
    dist_claim *input = malloc(ranks * sizeof *input), *output = malloc(2 * ranks * sizeof *output);
    *contract = (dist_contract){.type = spec->type, .divisor = 1};
    if (!input || !output) {
        free(input);
        free(output);
        return no_memory(ranks);
    }
    fill_pairs(contract, spec, from, input, output);
    return DIST_OK;
}

static dist_status begin_shift(dist_contract *contract, const dist_spec *spec)
{
    const int ranks = spec->topology->ranks;
    int *from = malloc((size_t)ranks * sizeof *from);
    if (!from)
        return no_memory((size_t)ranks);
    for (int r = 0; r < ranks; r++)
        from[r] = spec->to < 0 ? -1 : (r + spec->rank - spec->to + ranks) % ranks;
    const dist_status status = dist_contract_begin_pairs(contract, spec, from);
    free(from);
    return status;
}

dist_status dist_contract_begin(dist_contract *contract, const dist_spec *request)
{
    dist_spec spec = *request;
    size_t ranks = (size_t)spec.topology->ranks;
    bool reduces = spec.kind == DIST_ALL_REDUCE || spec.kind == DIST_REDUCE_SCATTER;
    DIST_TRY(dist_choose(&spec));
    if (spec.kind == DIST_SEND_RECV)
        return begin_shift(contract, &spec);
    if (spec.kind == DIST_BARRIER)
        spec = word_of_barrier(&spec);
    *contract = (dist_contract){.type = spec.type, .divisor = 1};
    if (reduces && spec.reduction == DIST_AVERAGE && ranks > 1)
        contract->divisor = (int)ranks;
    if (spec.kind == DIST_BARRIER && (spec.algo.kind == DIST_ALGO_MPI || ranks == 1))
        return DIST_OK; /* the wire's own barrier has no word */
    size_t parts = has_parts(&spec) ? ranks + 1 : 2;
    dist_claim *input = malloc(ranks * sizeof *input), *output = malloc(ranks * parts * sizeof *output);
    if (!input || !output) {
        free(input);
        free(output);
        return no_memory(ranks);
    }
    fill(contract, &spec, input, output);
    return DIST_OK;
}

void dist_contract_end(dist_contract *contract)
{
    free((void *)contract->input);
    free((void *)contract->output);
    *contract = (dist_contract){0};
}
