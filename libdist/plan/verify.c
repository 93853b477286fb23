#include "plan/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "plan/verify_internal.h"

dist_status dist_fault(const dist_plan *plan, size_t op, const char *format, ...)
{
    char text[256], sentence[DIST_ERROR_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (plan->op[op].kind == DIST_OP_NATIVE && plan->op[op].native > DIST_NATIVE_BARRIER)
        snprintf(text, sizeof text, "NATIVE"); /* has no name that could be printed */
    else
        dist_op_format(plan, op, text, sizeof text);
    return dist_fail(DIST_ERR_PLAN, "rank %d op %zu %s: %s", plan->rank, op, text, sentence);
}

dist_status dist_verify_no_memory(const dist_verifier *verifier)
{
    return dist_fail(DIST_ERR_MEMORY, "no memory to verify the plans of %d ranks", verifier->ranks);
}

/* What every other check takes for granted. */
static dist_status check_set(const dist_plan *const *plan, int ranks, const dist_contract *contract)
{
    if (ranks < 1)
        return dist_fail(DIST_ERR_PLAN, "a plan for %d ranks; there must be at least one", ranks);
    for (int r = 0; r < ranks; r++) {
        if (!plan[r])
            return dist_fail(DIST_ERR_PLAN, "rank %d has no plan", r);
        if (plan[r]->rank != r || plan[r]->ranks != ranks)
            return dist_fail(DIST_ERR_PLAN, "the plan of rank %d of %d is made for rank %d of %d", r, ranks,
                             plan[r]->rank, plan[r]->ranks);
        if (plan[r]->status < 0)
            return dist_fail(DIST_ERR_PLAN, "building the plan of rank %d failed: %s", r,
                             dist_status_text(plan[r]->status));
        if (plan[r]->ops >= DIST_NO_OP)
            return dist_fail(DIST_ERR_PLAN, "the plan of rank %d has %zu ops; the most is %u", r,
                             plan[r]->ops, DIST_NO_OP - 1);
        uint64_t scratch = dist_plan_bytes(plan[r], DIST_BUFFER_SCRATCH);
        if (contract->scratch_limit && scratch > contract->scratch_limit)
            return dist_fail(DIST_ERR_PLAN,
                             "rank %d needs %" PRIu64 " bytes of scratch, above the limit of %" PRIu64, r,
                             scratch, contract->scratch_limit);
    }
    return DIST_OK;
}

static bool number_ops(dist_verifier *verifier)
{
    verifier->first_op = calloc((size_t)verifier->ranks + 1, sizeof(size_t));
    if (!verifier->first_op)
        return false;
    for (int r = 0; r < verifier->ranks; r++)
        verifier->first_op[r + 1] = verifier->first_op[r] + verifier->plan[r]->ops;
    verifier->meets = calloc(verifier->first_op[verifier->ranks] + 1, sizeof(uint32_t));
    return verifier->meets != NULL;
}

static dist_status check_all(dist_verifier *verifier)
{
    if (!verifier->calls)
        DIST_TRY(dist_verify_contract(verifier));
    DIST_TRY(dist_verify_shape(verifier));
    DIST_TRY(dist_verify_messages(verifier));
    DIST_TRY(dist_verify_races(verifier));
    DIST_TRY(dist_verify_order(verifier));
    return dist_verify_run(verifier);
}

static dist_status verify(dist_verifier *verifier)
{
    DIST_TRY(check_set(verifier->plan, verifier->ranks, verifier->contract));
    dist_status status = number_ops(verifier) ? check_all(verifier) : dist_verify_no_memory(verifier);
    free(verifier->first_op);
    free(verifier->meets);
    dist_natives_end(&verifier->natives);
    return status;
}

dist_status dist_verify(const dist_plan *const *plan, int ranks, const dist_contract *contract)
{
    dist_verifier verifier = {.plan = plan,
                              .contract = contract,
                              .domain = &dist_domain_values,
                              .ranks = ranks,
                              .element = dist_type_bytes(contract->type)};
    return verify(&verifier);
}

dist_status dist_verify_calls(const dist_plan *const *plan, int ranks, const dist_call_contract *contract)
{
    const dist_contract nothing = {.type = DIST_FLOAT32, .divisor = 1};
    dist_verifier verifier = {.plan = plan,
                              .contract = &nothing,
                              .calls = contract,
                              .domain = &dist_domain_calls,
                              .ranks = ranks,
                              .element = 1};
    return verify(&verifier);
}
