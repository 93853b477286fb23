/* All-reduces of device memory: proven with the device wire inside sites and without, before and after they are staged, on 1
 * to 4 sites of 1 to 4 ranks; and what crosses between sites is the same. */
#include "plan_sets.h"

#include "collective/collective.h"
#include "plan/embed.h"
#include "plan/predict.h"
#include "plan/stage.h"
#include "topology/group.h"

enum { MOST = 16, SITES = 4 };

static const char *const clusters[] = {"1",   "2",   "3",   "4",   "1,1",   "2x2",   "2x3",     "2x4",
                                       "3x1", "3x2", "3x3", "3x4", "4x1",   "4x2",   "4x3",     "4x4",
                                       "2,1", "1,3", "4,2", "2,3", "1,2,4", "3,1,1", "3,1,2,4", "2,4,2,3"};

typedef struct job {
    dist_topology *topology;
    dist_spec spec;
    dist_plan *plan[MOST];
    int ranks;
} job;

static void describe(const job *j, char *text, size_t size)
{
    snprintf(text, size, "%s, team %d", j->plan[0]->label, j->plan[0]->team != NULL);
}

/* A site of one rank has no team. */
static void make_plans(job *j, bool team)
{
    for (int r = 0; r < j->ranks; r++) {
        dist_spec spec = j->spec;
        spec.rank = r;
        spec.team = team && j->topology->site[j->topology->place[r].site].count > 1;
        assert_int_equal(dist_collective_plan(&j->plan[r], &spec), DIST_OK);
        assert_true(!j->plan[r]->team || spec.team);
    }
}

static void end_plans(job *j)
{
    for (int r = 0; r < j->ranks; r++)
        dist_plan_destroy(j->plan[r]);
}

static uint64_t most_scratch(const job *j)
{
    uint64_t most = 0;
    for (int r = 0; r < j->ranks; r++) {
        const uint64_t bytes = dist_plan_bytes(j->plan[r], DIST_BUFFER_SCRATCH);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void verify(const job *j, uint64_t scratch_limit)
{
    char text[256];
    dist_contract contract;
    assert_int_equal(dist_contract_begin(&contract, &j->spec), DIST_OK);
    contract.scratch_limit = scratch_limit;
    const dist_status status = dist_verify((const dist_plan *const *)j->plan, j->ranks, &contract);
    dist_contract_end(&contract);
    describe(j, text, sizeof text);
    if (status != DIST_OK)
        fail_msg("%d ranks on %d sites, %s: %s", j->ranks, j->topology->sites, text, dist_last_error());
}

/* Messages leave device memory as they are, or by pinned memory. */
static void verify_staged(job *j, bool direct)
{
    static const dist_memory user[] = {DIST_MEMORY_CUDA, DIST_MEMORY_CUDA};
    for (int r = 0; r < j->ranks; r++)
        assert_int_equal(dist_plan_stage(&j->plan[r], &(dist_staging){.user = user, .direct = direct}),
                         DIST_OK);
    verify(j, 0);
}

/* Bytes from site to site, and inside, as predicted. */
static void predict(const job *j, uint64_t across[SITES * SITES], uint64_t *inside)
{
    const int ranks = j->ranks, pairs = j->topology->sites * j->topology->sites;
    dist_cluster *cluster;
    dist_prediction prediction;
    const dist_cluster_link near = {1e-5, 1e10}, far = {1e-2, 1e7};
    assert_int_equal(dist_cluster_create(&cluster, j->topology, near, far), DIST_OK);
    if (dist_predict((const dist_plan *const *)j->plan, cluster, false, &prediction) != DIST_OK)
        fail_msg("%s: %s", j->plan[0]->label, dist_last_error());
    *inside = 0;
    for (int r = 0; r < ranks; r++)
        *inside += prediction.link[r].bytes;
    for (int p = 0; p < pairs; p++)
        across[p] = prediction.link[ranks + p].bytes;
    dist_prediction_end(&prediction, ranks);
    dist_cluster_destroy(cluster);
}

static void prove(job *j)
{
    uint64_t with[SITES * SITES] = {0}, without[SITES * SITES] = {0}, inside[2];
    make_plans(j, false);
    const uint64_t scratch = most_scratch(j);
    verify(j, scratch);
    predict(j, without, &inside[0]);
    verify_staged(j, false);
    end_plans(j);
    make_plans(j, true);
    verify(j, scratch); /* needs no slots inside the site */
    predict(j, with, &inside[1]);
    assert_memory_equal(with, without, sizeof with);
    verify_staged(j, false);
    predict(j, with, &inside[1]);
    assert_memory_equal(with, without, sizeof with);
    end_plans(j);
    make_plans(j, true);
    verify_staged(j, true);
    end_plans(j);
    const int sites = j->topology->sites;
    for (int p = 0; p < sites * sites; p++) /* every site sends to every other, and none to itself */
        assert_true(j->spec.count < 1000 || (with[p] > 0) == (p / sites != p % sites));
    assert_true(j->spec.count == 0 || (inside[1] > 0) == (sites < j->ranks));
}

static void complete_spec(dist_spec *spec, const char *codec)
{
    assert_int_equal(dist_codec_parse(codec, DIST_SIMD_SCALAR, &spec->codec), DIST_OK);
    spec->kind = DIST_ALL_REDUCE;
    spec->feedback = spec->codec.feedback;
    spec->device = true;
    spec->algo.kind = DIST_ALGO_HIER;
}

static void each_cluster(dist_spec spec, const char *codec, uint64_t window)
{
    complete_spec(&spec, codec);
    spec.window_bytes = window;
    for (size_t c = 0; c < sizeof clusters / sizeof *clusters; c++) {
        job j = {.spec = spec};
        assert_int_equal(dist_topology_describe(&j.topology, clusters[c]), DIST_OK);
        j.spec.topology = j.topology;
        j.ranks = j.topology->ranks;
        prove(&j);
        dist_topology_destroy(j.topology);
    }
}

static const uint64_t counts[] = {0, 1, 3, 1009, 4096, 65536, 200003};

static void test_sums(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const dist_spec spec = {.type = DIST_FLOAT32, .count = counts[c], .in_place = c % 2 == 0};
        each_cluster(spec, "none", 64 << 10);
        each_cluster(spec, "int8", 64 << 10);
        each_cluster(spec, "topk:density=0.01", 64 << 10);
    }
}

static void test_averages(void **state)
{
    (void)state;
    for (size_t c = 1; c < sizeof counts / sizeof *counts; c++) {
        const dist_spec spec = {
            .type = DIST_BFLOAT16, .reduction = DIST_AVERAGE, .count = counts[c], .in_place = c % 2 == 1};
        each_cluster(spec, "none", 64 << 10);
        each_cluster(spec, "int8", 64 << 10);
        each_cluster(spec, "topk:density=0.01", 64 << 10);
    }
}

static void test_minima(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        each_cluster((dist_spec){.type = DIST_INT32,
                                 .reduction = DIST_MIN,
                                 .count = counts[c],
                                 .in_place = true,
                                 .algo = {.shots = 1 + (int)c % 2}},
                     "none", 64 << 10);
}

/* With the pieces, and windows, that it has in use. */
static void test_large(void **state)
{
    (void)state;
    const dist_spec spec = {
        .type = DIST_FLOAT32, .reduction = DIST_AVERAGE, .count = 8 << 20, .in_place = true};
    each_cluster(spec, "none", 0);
    each_cluster(spec, "int8", 0);
}

/* Whole chunks go round a ring, which has as many bytes as pieces sent to their owners and back; of others every rank has
 * more than its own. */
static void test_bytes_inside(void **state)
{
    (void)state;
    enum { SHARD = 12 * 1024 * 40 }; /* twelve pieces of a rail */
    static const struct {
        const char *cluster;
        uint64_t count;
        bool even;
    } cases[] = {{"2x2", 2 * SHARD, true}, {"2x4", 4 * SHARD, true},       {"4x2", 2 * SHARD, true},
                 {"3x3", 3 * SHARD, true}, {"2x4", 4 * SHARD + 64, false}, {"4,2", 2 * SHARD, false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        uint64_t across[SITES * SITES], inside[2];
        job j = {.spec = {.type = DIST_FLOAT32, .count = cases[c].count, .in_place = true}};
        complete_spec(&j.spec, "none");
        assert_int_equal(dist_topology_describe(&j.topology, cases[c].cluster), DIST_OK);
        j.spec.topology = j.topology;
        j.ranks = j.topology->ranks;
        for (int team = 0; team < 2; team++) {
            make_plans(&j, team);
            predict(&j, across, &inside[team]);
            end_plans(&j);
        }
        const uint64_t bytes = 4 * cases[c].count, each = (uint64_t)j.topology->site[0].count - 1;
        if (cases[c].even)
            assert_int_equal(inside[1], 2 * (uint64_t)j.topology->sites * each * bytes);
        assert_true(cases[c].even ? inside[1] == inside[0] : inside[1] > inside[0]);
        dist_topology_destroy(j.topology);
    }
}

/* ---- faults ---- */

typedef enum fault {
    ONE_LEAVES_OUT,
    ONE_HAS_ANOTHER_ORDER,
    ONE_TAKES_THE_JOB,
    ONE_HAS_ANOTHER_ROOT,
    ALL_HAVE_ANOTHER_ROOT,
    ALL_TAKE_FEWER,
    ONE_IS_BESIDE_ITS_PLACE,
    FAULTS
} fault;

static bool is_broadcast(const dist_op *op)
{
    return op->kind == DIST_OP_NATIVE && op->native == DIST_NATIVE_BROADCAST;
}

/* One element less for each member. */
static void take_fewer(dist_op *op, uint64_t members)
{
    op->count--;
    op->dst.bytes -= 4 * (op->native == DIST_NATIVE_ALL_GATHER ? members : 1);
    if (!is_broadcast(op))
        op->src.bytes -= 4 * (op->native == DIST_NATIVE_REDUCE_SCATTER ? members : 1);
}

/* False: not for this op. */
static bool plant_in_one(dist_plan *plan, size_t number, fault kind)
{
    dist_op *op = &plan->op[number];
    int *team = plan->team, first = team[0], last = team[plan->teammates - 1];
    switch (kind) {
    case ONE_LEAVES_OUT:
        delete_op(plan, number);
        return true;
    case ONE_HAS_ANOTHER_ORDER:
        team[0] = last;
        team[plan->teammates - 1] = first;
        return true;
    case ONE_TAKES_THE_JOB:
        op->device = false;
        return true;
    case ONE_HAS_ANOTHER_ROOT:
        op->peer = op->peer == first ? last : first;
        return is_broadcast(op);
    default:
        op->dst.offset = op->dst.offset ? op->dst.offset - 4 : 4;
        return true;
    }
}

/* The collective in which a member does what op `number` of `plan` is part of. */
static dist_op *meets(const job *j, const dist_plan *plan, size_t number, int rank)
{
    size_t before = 0;
    for (size_t i = 0; i < number; i++)
        before += plan->op[i].device;
    dist_op *op = j->plan[rank]->op;
    for (; !op->device || before-- > 0; op++)
        ;
    return op;
}

static bool plant(job *j, int rank, size_t number, fault kind)
{
    dist_plan *plan = j->plan[rank];
    if (kind != ALL_HAVE_ANOTHER_ROOT && kind != ALL_TAKE_FEWER)
        return plant_in_one(plan, number, kind);
    if (kind == ALL_HAVE_ANOTHER_ROOT && !is_broadcast(&plan->op[number]))
        return false;
    for (int m = 0; m < plan->teammates; m++) {
        dist_op *op = meets(j, plan, number, plan->team[m]);
        if (kind == ALL_TAKE_FEWER)
            take_fewer(op, (uint64_t)plan->teammates);
        else
            op->peer = op->peer == plan->team[0] ? plan->team[1] : plan->team[0];
    }
    return true;
}

static void job_begin(job *j, const char *cluster, uint64_t count, const char *codec)
{
    *j = (job){.spec = {.type = DIST_FLOAT32, .count = count, .in_place = true, .window_bytes = 64 << 10}};
    complete_spec(&j->spec, codec);
    assert_int_equal(dist_topology_describe(&j->topology, cluster), DIST_OK);
    j->spec.topology = j->topology;
    j->ranks = j->topology->ranks;
    make_plans(j, true);
}

static void job_end(job *j)
{
    end_plans(j);
    dist_topology_destroy(j->topology);
}

/* In every collective of rank 0 or 1, which are a team. */
static int find_faults(const char *cluster, uint64_t count, const char *codec, fault kind, int rank)
{
    int found = 0;
    for (size_t number = 0, ops = 1; number < ops; number++) {
        job j;
        dist_contract contract;
        job_begin(&j, cluster, count, codec);
        ops = j.plan[rank]->ops;
        assert_int_equal(dist_contract_begin(&contract, &j.spec), DIST_OK);
        if (j.plan[rank]->op[number].device && plant(&j, rank, number, kind)) {
            if (dist_verify((const dist_plan *const *)j.plan, j.ranks, &contract) != DIST_ERR_PLAN)
                fail_msg("%s: fault %d of rank %d op %zu is not found", cluster, kind, rank, number);
            found++;
        }
        dist_contract_end(&contract);
        job_end(&j);
    }
    return found;
}

static void test_faults_are_found(void **state)
{
    (void)state;
    for (int kind = 0; kind < FAULTS; kind++)
        for (int rank = 0; rank < 2; rank++) {
            int found =
                find_faults("2x2", 65535, "int8", (fault)kind, rank);      /* the last chunk is not whole */
            found += find_faults("3,1", 20000, "none", (fault)kind, rank); /* one rail for three ranks */
            found += find_faults("3", 1000, "none", (fault)kind, rank);
            assert_in_range(found, 5, 1000);
        }
}

/* ---- groups ---- */

/* Ranks 0, 1, 4, 5 and 2, 3, 6, 7 of two sites of four, each with teams of its own. */
static void plan_groups(job *j, dist_topology *const group[2], const int member[2][4])
{
    for (int g = 0; g < 2; g++)
        for (int m = 0; m < 4; m++) {
            const int r = member[g][m];
            dist_spec spec = j->spec;
            spec.topology = group[g];
            spec.rank = m;
            spec.team = true;
            assert_int_equal(dist_collective_plan(&j->plan[r], &spec), DIST_OK);
            assert_int_equal(dist_plan_embed(j->plan[r], member[g], 8), DIST_OK);
            assert_int_equal(j->plan[r]->team[0], r / 2 * 2);
            assert_int_equal(j->plan[r]->team[1], r / 2 * 2 + 1);
            int roots = 0;
            for (size_t i = 0; i < j->plan[r]->ops; i++) /* ranks of the job, too */
                if (is_broadcast(&j->plan[r]->op[i])) {
                    assert_int_equal(j->plan[r]->op[i].peer / 2, r / 2);
                    roots++;
                }
            assert_true(roots > 0);
        }
}

static void test_groups_have_teams_of_their_own(void **state)
{
    (void)state;
    static const int member[2][4] = {{0, 1, 4, 5}, {2, 3, 6, 7}};
    dist_topology *group[2];
    dist_claim input[8], output[8];
    job j = {.spec = {.type = DIST_FLOAT32, .count = 1001, .in_place = true}, .ranks = 8};
    complete_spec(&j.spec, "int8");
    assert_int_equal(dist_topology_describe(&j.topology, "2x4"), DIST_OK);
    for (int g = 0; g < 2; g++)
        assert_int_equal(dist_topology_group(&group[g], j.topology, member[g], 4), DIST_OK);
    plan_groups(&j, group, member);
    for (int r = 0; r < 8; r++) {
        input[r] = output[r] = (dist_claim){.rank = r, .count = 1001, .group = r / 2 % 2 + 1};
        output[r].from = -1;
    }
    const dist_contract contract = {
        .type = DIST_FLOAT32, .input = input, .inputs = 8, .output = output, .outputs = 8, .divisor = 1};
    if (dist_verify((const dist_plan *const *)j.plan, 8, &contract) != DIST_OK)
        fail_msg("%s", dist_last_error());
    j.plan[6]->team[1] = 5; /* of the other group */
    assert_int_equal(dist_verify((const dist_plan *const *)j.plan, 8, &contract), DIST_ERR_PLAN);
    job_end(&j);
    for (int g = 0; g < 2; g++)
        dist_topology_destroy(group[g]);
}

/* ---- print ---- */

static void test_what_is_printed(void **state)
{
    (void)state;
    static const char *const wanted[] = {"# team: 2 3\n",
                                         "# buffer data: user, cuda, 4000 bytes\n",
                                         "# buffer frames: scratch, cuda, ",
                                         "# buffer h:frames: scratch, pinned, ",
                                         "NATIVE team all-reduce of 1000 float32 data[0+4000] = data[0+4000]",
                                         "NATIVE team broadcast of ",
                                         ", a frame of "};
    static char text[1 << 16];
    job j;
    job_begin(&j, "2x2", 1000, "int8");
    assert_int_equal(dist_plan_stage(&j.plan[2], &(dist_staging){.user = (dist_memory[]){DIST_MEMORY_CUDA}}),
                     DIST_OK);
    FILE *file = tmpfile();
    assert_non_null(file);
    dist_plan_write(j.plan[2], file);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++)
        if (!strstr(text, wanted[w]))
            fail_msg("'%s' is not in\n%s", wanted[w], text);
    job_end(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_averages),
        cmocka_unit_test(test_minima),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_bytes_inside),
        cmocka_unit_test(test_faults_are_found),
        cmocka_unit_test(test_groups_have_teams_of_their_own),
        cmocka_unit_test(test_what_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
