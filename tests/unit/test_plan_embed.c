/* Plans of groups, all in one job: proven together, and wrong ones found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "collective/collective.h"
#include "plan/embed.h"
#include "topology/group.h"

enum { MOST = 12, GROUPS = 3 };

/* An all-reduce in place in each group of a job. */
typedef struct job {
    dist_topology *all, *group[GROUPS];
    int ranks, groups;
    int member[GROUPS][MOST], members[GROUPS];
    dist_plan *plan[MOST];
    dist_claim input[MOST], output[MOST];
    dist_contract contract;
} job;

/* "aabb": the group of each rank. */
static void job_begin(job *j, const char *cluster, const char *groups)
{
    memset(j, 0, sizeof *j);
    assert_int_equal(dist_topology_describe(&j->all, cluster), DIST_OK);
    j->ranks = j->all->ranks;
    assert_int_equal(strlen(groups), j->ranks);
    for (int r = 0; r < j->ranks; r++) {
        const int g = groups[r] - 'a';
        j->member[g][j->members[g]++] = r;
        j->groups = g >= j->groups ? g + 1 : j->groups;
    }
    for (int g = 0; g < j->groups; g++)
        assert_int_equal(dist_topology_group(&j->group[g], j->all, j->member[g], j->members[g]), DIST_OK);
}

static void plan_rank(job *j, int g, int m, dist_spec spec)
{
    const int r = j->member[g][m];
    spec.topology = j->group[g];
    spec.rank = m;
    assert_int_equal(dist_collective_plan(&j->plan[r], &spec), DIST_OK);
    assert_int_equal(dist_plan_embed(j->plan[r], j->member[g], j->ranks), DIST_OK);
    assert_int_equal(j->plan[r]->rank, r);
    assert_int_equal(j->plan[r]->ranks, j->ranks);
    assert_int_equal(j->plan[r]->group, 1 + j->member[g][0]);
    j->input[r] = (dist_claim){.rank = r, .count = spec.count, .group = g + 1};
    j->output[r] = (dist_claim){.rank = r, .count = spec.count, .from = -1, .group = g + 1};
}

/* `codec` of the last group, none in the others, if there are several. */
static void job_plan(job *j, const char *algo, const char *codec, dist_reduction reduction, uint64_t count)
{
    for (int g = 0; g < j->groups; g++) {
        dist_spec spec = {.kind = DIST_ALL_REDUCE,
                          .type = DIST_FLOAT32,
                          .reduction = reduction,
                          .count = count,
                          .in_place = true};
        const bool coded = g == j->groups - 1;
        assert_int_equal(dist_algo_parse(algo, &spec.algo), DIST_OK);
        assert_int_equal(dist_codec_parse(coded ? codec : "none", DIST_SIMD_SCALAR, &spec.codec), DIST_OK);
        spec.feedback = spec.codec.feedback;
        for (int m = 0; m < j->members[g]; m++)
            plan_rank(j, g, m, spec);
    }
    j->contract = (dist_contract){.type = DIST_FLOAT32,
                                  .input = j->input,
                                  .inputs = (size_t)j->ranks,
                                  .output = j->output,
                                  .outputs = (size_t)j->ranks,
                                  .divisor = reduction == DIST_AVERAGE ? j->members[0] : 1};
}

static dist_status job_verify(const job *j)
{
    return dist_verify((const dist_plan *const *)j->plan, j->ranks, &j->contract);
}

static void job_end(job *j)
{
    for (int r = 0; r < j->ranks; r++)
        dist_plan_destroy(j->plan[r]);
    for (int g = 0; g < j->groups; g++)
        dist_topology_destroy(j->group[g]);
    dist_topology_destroy(j->all);
}

static void prove(const char *cluster, const char *groups, const char *algo, const char *codec,
                  dist_reduction reduction, uint64_t count)
{
    job j;
    job_begin(&j, cluster, groups);
    job_plan(&j, algo, codec, reduction, count);
    if (job_verify(&j) != DIST_OK)
        fail_msg("%s in groups %s, %s, %s, count %d: %s", cluster, groups, algo, codec, (int)count,
                 dist_last_error());
    job_end(&j);
}

static void test_groups_are_proven_together(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"ring", "halving", "doubling", "hier", "auto"};
    static const struct {
        const char *cluster, *groups;
    } jobs[] = {{"2x2", "aabb"},         {"2x2", "abab"},         {"2x2", "abba"},
                {"4", "abab"},           {"3x2", "ababab"},       {"2x4", "abababab"},
                {"2x6", "aabbccccbbaa"}, {"4x3", "abcabcabcabc"}, {"1,3,4", "abbaabab"}};
    for (size_t c = 0; c < sizeof jobs / sizeof *jobs; c++)
        for (size_t a = 0; a < 5; a++) {
            prove(jobs[c].cluster, jobs[c].groups, algorithms[a], "none", DIST_AVERAGE, 1009);
            prove(jobs[c].cluster, jobs[c].groups, algorithms[a], "none", DIST_SUM, 1);
        }
}

static void test_codecs_and_unequal_groups(void **state)
{
    (void)state;
    static const char *const jobs[][2] = {
        {"2x2", "abab"}, {"2x2", "abba"}, {"2x4", "abababab"}, {"3x2", "ababab"}};
    for (size_t c = 0; c < 4; c++) {
        prove(jobs[c][0], jobs[c][1], "hier", "int8", DIST_AVERAGE, 1009);
        prove(jobs[c][0], jobs[c][1], "hier:shots=2", "int8:ef=fp32", DIST_SUM, 100003);
    }
    prove("2x2", "abbb", "hier", "int8", DIST_SUM, 1009);
    prove("2x4", "aaaaaaab", "ring", "none", DIST_SUM, 1009);
    prove("2x4", "abbccccc", "halving", "none", DIST_SUM, 1009);
}

/* The verifier must see a sum over the wrong ranks. */
static void expect(job *j, const char *part)
{
    assert_int_equal(job_verify(j), DIST_ERR_PLAN);
    if (!strstr(dist_last_error(), part))
        fail_msg("'%s' lacks '%s'", dist_last_error(), part);
}

static void test_wrong_sums_are_found(void **state)
{
    (void)state;
    job j;
    job_begin(&j, "2x2", "abab");
    job_plan(&j, "ring", "none", DIST_SUM, 64);
    for (int r = 0; r < 4; r++) /* asks for the sum of all ranks */
        j.output[r].group = 0;
    expect(&j, "lacks the contribution of rank 1");
    for (int r = 0; r < 4; r++)
        j.input[r].group = j.output[r].group = r / 2 + 1; /* {0, 1} and {2, 3} */
    expect(&j, "lacks the contribution of rank 1");
    for (int r = 0; r < 4; r++)
        j.input[r].group = j.output[r].group = r + 1;
    expect(&j, "holds the contribution of rank 2, which is not in group 1");
    j.output[0].group = 5;
    expect(&j, "output 0 of the contract is in group 5");
    j.output[0].group = -1;
    expect(&j, "output 0 of the contract is in group -1");
    for (int r = 0; r < 4; r++)
        j.input[r].group = j.output[r].group = r % 2 + 1;
    j.output[3].group = 4;
    expect(&j, "is of group 4, of which there is no input");
    j.output[3].group = 2;
    assert_int_equal(job_verify(&j), DIST_OK);
    job_end(&j);
}

/* A divisor of the job's ranks, and one of the group's. */
static void test_divisor_is_the_groups(void **state)
{
    (void)state;
    job j;
    job_begin(&j, "2x2", "abab");
    job_plan(&j, "ring", "none", DIST_AVERAGE, 64);
    assert_int_equal(j.contract.divisor, 2);
    assert_int_equal(job_verify(&j), DIST_OK);
    j.contract.divisor = 4;
    expect(&j, "divided by 2 instead of 4");
    job_end(&j);
}

static dist_plan *plan_of(const char *algo, const dist_topology *topology)
{
    dist_plan *plan;
    dist_spec spec = {.kind = DIST_ALL_REDUCE,
                      .type = DIST_FLOAT32,
                      .count = 100,
                      .in_place = true,
                      .topology = topology,
                      .codec = {.kind = DIST_CODEC_NONE, .text = "none"},
                      .rank = 1};
    assert_int_equal(dist_algo_parse(algo, &spec.algo), DIST_OK);
    assert_int_equal(dist_collective_plan(&plan, &spec), DIST_OK);
    return plan;
}

/* Refused, and as it was. */
static void refused(dist_plan *plan, const int *member, int ranks, dist_status status, const char *part)
{
    const uint64_t before = dist_plan_hash(plan);
    assert_int_equal(dist_plan_embed(plan, member, ranks), status);
    if (!strstr(dist_last_error(), part))
        fail_msg("'%s' lacks '%s'", dist_last_error(), part);
    assert_true(dist_plan_hash(plan) == before);
}

static void test_what_cannot_be_embedded(void **state)
{
    (void)state;
    dist_topology *two;
    assert_int_equal(dist_topology_describe(&two, "2"), DIST_OK);
    dist_plan *native = plan_of("mpi", two), *plan = plan_of("ring", two);
    refused(native, (int[]){0, 2}, 4, DIST_ERR_UNSUPPORTED, "algorithm 'mpi' takes all ranks of the job");
    refused(plan, (int[]){2, 0}, 4, DIST_ERR_ARGUMENT, "not above the one before");
    refused(plan, (int[]){0, 4}, 4, DIST_ERR_ARGUMENT, "member 1 of a group is rank 4;");
    assert_int_equal(dist_plan_embed(plan, (int[]){1, 3}, 4), DIST_OK);
    refused(plan, (int[]){0, 2}, 4, DIST_ERR_ARGUMENT, "already a plan of the group of rank 1");
    dist_plan_destroy(native);
    dist_plan_destroy(plan);
    dist_topology_destroy(two);
}

/* The group is part of the hash and of what is printed. */
static void test_hash_and_print(void **state)
{
    (void)state;
    char head[64] = {0};
    dist_topology *two;
    assert_int_equal(dist_topology_describe(&two, "2"), DIST_OK);
    dist_plan *plan = plan_of("ring", two);
    assert_int_equal(dist_plan_embed(plan, (int[]){1, 3}, 4), DIST_OK);
    const uint64_t hash = dist_plan_hash(plan);
    FILE *file = tmpfile();
    dist_plan_write(plan, file);
    rewind(file);
    assert_non_null(fgets(head, sizeof head, file));
    fclose(file);
    assert_ptr_equal(strstr(head, "# rank 3 of 4 in the group of rank 1: all-reduce"), head);
    plan->group = 0;
    assert_true(dist_plan_hash(plan) != hash);
    dist_plan_destroy(plan);
    dist_topology_destroy(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_are_proven_together), cmocka_unit_test(test_codecs_and_unequal_groups),
        cmocka_unit_test(test_wrong_sums_are_found),       cmocka_unit_test(test_divisor_is_the_groups),
        cmocka_unit_test(test_what_cannot_be_embedded),    cmocka_unit_test(test_hash_and_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
