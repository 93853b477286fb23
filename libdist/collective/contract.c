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
    if (spec->kind == DIST_REDUCE_SCATTER)
        claim.count = part * ranks;
    if (spec->kind == DIST_ALL_GATHER) {
        claim.first = (uint64_t)r * part;
        claim.offset = spec->in_place ? claim.first * element : 0;
    }
    return claim;
}

/* Part i of rank r's output: a gather promises one part for every rank. */
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
    case DIST_BROADCAST:
        claim.from = spec->root;
        break;
    default:
        break;
    }
    return claim;
}

dist_status dist_contract_begin(dist_contract *contract, const dist_spec *spec)
{
    size_t ranks = (size_t)spec->topology->ranks;
    size_t parts = spec->kind == DIST_ALL_GATHER ? ranks : 1;
    bool reduces = spec->kind == DIST_ALL_REDUCE || spec->kind == DIST_REDUCE_SCATTER;
    *contract = (dist_contract){.type = spec->type, .divisor = 1};
    if (reduces && spec->reduction == DIST_AVERAGE && ranks > 1)
        contract->divisor = (int)ranks;
    if (spec->kind == DIST_BARRIER)
        return DIST_OK;
    dist_claim *inputs = malloc(ranks * sizeof *inputs), *outputs = malloc(ranks * parts * sizeof *outputs);
    if (!inputs || !outputs) {
        free(inputs);
        free(outputs);
        return dist_fail(DIST_ERR_MEMORY, "no memory for the claims of %zu ranks", ranks);
    }
    for (size_t r = 0; r < ranks; r++) {
        inputs[r] = input_of(spec, (int)r);
        for (size_t i = 0; i < parts; i++)
            outputs[r * parts + i] = output_of(spec, (int)r, (int)i);
    }
    contract->input = inputs;
    contract->inputs = ranks;
    contract->output = outputs;
    contract->outputs = ranks * parts;
    return DIST_OK;
}

void dist_contract_end(dist_contract *contract)
{
    free((void *)contract->input);
    free((void *)contract->output);
    *contract = (dist_contract){0};
}
