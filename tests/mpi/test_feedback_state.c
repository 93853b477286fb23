/* What averages keep: saved, loaded into the same job, and refused when it is bad. */
/* ranks: 1 2 4 */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "feedback_job.h"

/* ---- The same job goes on bit for bit ---- */

enum { AFTER = 3 /* steps of the job that goes on */ };

static void assert_goes_on(layout l, const parts *saved, const float *wanted, hands how)
{
    const size_t n = elements();
    double *result = malloc(n * sizeof *result);
    job *j = open_job(l);
    average(j, 99); /* what is loaded replaces what there was */
    assert_dist(load(j, saved, how));
    parts again = save(j);
    assert_true(same_parts(saved, &again));
    for (int step = 0; step < AFTER; step++) {
        memset(result, 0, n * sizeof *result);
        average(j, BEFORE + step);
        add_results(j, result);
        for (size_t k = 0; k < n; k++)
            if ((float)result[k] != *wanted++) {
                print_error("%s, %s, step %d: element %zu is %.9g, not %.9g\n", l.codec, l.algo, step, k,
                            result[k], (double)wanted[-1]);
                fail();
            }
    }
    free_parts(&again);
    free(result);
    close_job(j);
}

static void round_trip(layout l)
{
    const size_t n = elements();
    double *result = malloc(n * sizeof *result);
    float *wanted = malloc(AFTER * n * sizeof *wanted);
    job *j = open_job(l);
    for (int step = 0; step < BEFORE; step++)
        average(j, step);
    parts saved = save(j);
    for (int r = 0; r < ranks; r++)
        assert_true((saved.bytes[r] > 0) == (l.sites > 1));
    for (int step = 0; step < AFTER; step++) {
        memset(result, 0, n * sizeof *result);
        average(j, BEFORE + step);
        add_results(j, result);
        for (size_t k = 0; k < n; k++)
            wanted[(size_t)step * n + k] = (float)result[k];
    }
    close_job(j);
    assert_goes_on(l, &saved, wanted, BY_NUMBER);
    assert_goes_on(l, &saved, wanted, BY_LAST);
    assert_goes_on(l, &saved, wanted, BY_TURNS);
    free_parts(&saved);
    free(wanted);
    free(result);
}

static void test_goes_on_bit_for_bit(void **state)
{
    (void)state;
    static const char *const codecs[] = {"int4",
                                         "int8:ef=int8",
                                         "int8:ef=bf16:sr",
                                         "nvfp4:ef=int8",
                                         "bf16:sr",
                                         "topk:density=0.02:dense=3",
                                         "sparseloco:ef=bf16:dense=7",
                                         "int4:hadamard:ef=fp32",
                                         "powersgd:rank=2:dense=2"};
    for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
        const bool two_shots = c % 2 && strncmp(codecs[c], "powersgd", 8) != 0;
        round_trip((layout){ranks, most_sites(c == 1 ? 4 : 2), two_shots ? "hier:shots=2" : "auto", codecs[c],
                            30000, DIST_AVERAGE});
    }
}

/* A job that keeps nothing takes any state, and one state is as good as none when there is none. */
static void test_nothing_to_keep(void **state)
{
    (void)state;
    double *owed = malloc(elements() * sizeof *owed);
    parts saved = run_from((layout){ranks, most_sites(2), "hier", "int4", 30000, DIST_AVERAGE}, owed);
    job *j = open_job((layout){ranks, most_sites(2), "hier", "int4:ef=none", 30000, DIST_AVERAGE});
    assert_dist(load(j, &saved, BY_NUMBER));
    assert_int_equal(dist_data_parallel_state_bytes(j->dp), 0);
    assert_dist(dist_data_parallel_state_save(j->dp, NULL, 0));
    average(j, 0);
    close_job(j);
    j = open_job((layout){ranks, 1, "auto", "int4", 30000, DIST_AVERAGE});
    assert_dist(load(j, &saved, BY_LAST));
    average(j, 0);
    close_job(j);
    j = open_job((layout){ranks, most_sites(2), "hier", "int4", 30000, DIST_AVERAGE});
    average(j, 0);
    parts before = save(j);
    assert_dist(dist_data_parallel_state_load(j->dp, NULL, NULL, 0));
    parts after = save(j);
    assert_true(same_parts(&before, &after));
    free_parts(&before);
    free_parts(&after);
    close_job(j);
    free_parts(&saved);
    free(owed);
}

/* ---- Bad parts ---- */

/* Every rank gets `status` and a sentence with `words`; what was kept stays. */
static void assert_refused(job *j, const parts *bad, dist_status status, const char *words)
{
    parts before = save(j);
    dist_status found = load(j, bad, BY_NUMBER);
    if (found != status || !strstr(dist_last_error(), words)) {
        print_error("%s instead of %s with \"%s\": %s\n", dist_status_name(found), dist_status_name(status),
                    words, dist_last_error());
        fail();
    }
    parts after = save(j);
    assert_true(same_parts(&before, &after));
    free_parts(&before);
    free_parts(&after);
}

static parts copy_of(const parts *p)
{
    parts copy = *p;
    for (int r = 0; r < p->n; r++) {
        copy.data[r] = malloc(p->bytes[r] + 1);
        memcpy(copy.data[r], p->data[r], p->bytes[r]);
    }
    return copy;
}

static void test_bad_parts(void **state)
{
    (void)state;
    const layout l = {ranks, most_sites(2), "hier", "int4", 30000, DIST_AVERAGE};
    const int last = ranks - 1;
    double *owed = malloc(elements() * sizeof *owed);
    if (ranks == 1) {
        free(owed);
        skip();
    }
    parts good = run_from(l, owed), bad = copy_of(&good);
    job *j = open_job(l);
    average(j, 1);
    bad.bytes[last]--;
    assert_refused(j, &bad, DIST_ERR_FRAME, "truncated");
    bad.bytes[last] = 3;
    assert_refused(j, &bad, DIST_ERR_FRAME, "");
    bad.bytes[last] = good.bytes[last];
    ((char *)bad.data[last])[good.bytes[last] / 2] ^= 4;
    assert_refused(j, &bad, DIST_ERR_FRAME, "checksum");
    ((char *)bad.data[last])[0] ^= 1;
    assert_refused(j, &bad, DIST_ERR_FRAME, "");
    free_parts(&bad);

    bad = copy_of(&good);
    bad.n = last;
    assert_refused(j, &bad, DIST_ERR_MISMATCH, "missing");
    bad.n = ranks;
    free(bad.data[0]);
    bad.bytes[0] = good.bytes[last];
    bad.data[0] = malloc(good.bytes[last]);
    memcpy(bad.data[0], good.data[last], good.bytes[last]);
    assert_refused(j, &bad, DIST_ERR_MISMATCH, "");
    free_parts(&bad);

    parts later = save(j);
    parts mixed = good;
    mixed.data[last] = later.data[last];
    mixed.bytes[last] = later.bytes[last];
    assert_refused(j, &mixed, DIST_ERR_MISMATCH, "not of one save");
    assert_refused(j, &(parts){.n = ranks, .bytes = {good.bytes[0]}}, DIST_ERR_ARGUMENT, "NULL");
    assert_dist(load(j, &good, BY_NUMBER)); /* still as good as before */
    free_parts(&later);
    free_parts(&good);
    free(owed);
    close_job(j);
}

static void test_other_parameters(void **state)
{
    (void)state;
    const layout l = {ranks, most_sites(2), "hier", "int4", 30000, DIST_AVERAGE};
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    dist_parameter parameter = {"p", NULL, 1000, DIST_FLOAT32, 0}, other = parameter;
    dist_data_parallel *dp;
    if (ranks == 1)
        skip();
    job *j = open_job(l);
    parts ours = save(j), p = {.n = ranks};
    options.codec = "int4";
    assert_dist(dist_data_parallel_create(j->context, &parameter, 1, &options, &dp));
    p.bytes[rank] = dist_data_parallel_state_bytes(dp);
    p.data[rank] = malloc(p.bytes[rank]);
    assert_dist(dist_data_parallel_state_save(dp, p.data[rank], p.bytes[rank]));
    assert_int_equal(load(j, &p, BY_NUMBER), DIST_ERR_MISMATCH);
    assert_non_null(strstr(dist_last_error(), "parameters"));
    assert_dist(dist_data_parallel_destroy(dp));

    other.name = "q";
    assert_dist(dist_data_parallel_create(j->context, &other, 1, &options, &dp));
    assert_int_equal(dist_data_parallel_state_load(dp, (const void *const *)&p.data[rank], &p.bytes[rank], 1),
                     DIST_ERR_MISMATCH);
    assert_non_null(strstr(dist_last_error(), "names"));
    assert_dist(dist_data_parallel_destroy(dp));
    options.reduction = DIST_SUM;
    assert_dist(dist_data_parallel_create(j->context, &parameter, 1, &options, &dp));
    assert_int_equal(dist_data_parallel_state_load(dp, (const void *const *)&p.data[rank], &p.bytes[rank], 1),
                     DIST_ERR_MISMATCH);
    assert_non_null(strstr(dist_last_error(), "sum"));
    assert_dist(dist_data_parallel_destroy(dp));
    free(p.data[rank]);
    free_parts(&ours);
    close_job(j);
}

static void test_misuse(void **state)
{
    (void)state;
    job *j = open_job((layout){ranks, most_sites(2), "hier", "int4", 30000, DIST_AVERAGE});
    parts p = save(j);
    const uint64_t bytes = p.bytes[rank];
    char *state_at = malloc(bytes + 1);
    assert_int_equal(dist_data_parallel_state_bytes(NULL), 0);
    assert_int_equal(dist_data_parallel_state_save(NULL, state_at, bytes), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_state_load(NULL, NULL, NULL, 0), DIST_ERR_ARGUMENT);
    if (bytes) {
        assert_int_equal(dist_data_parallel_state_save(j->dp, NULL, bytes), DIST_ERR_ARGUMENT);
        assert_int_equal(dist_data_parallel_state_save(j->dp, state_at, bytes + 1), DIST_ERR_ARGUMENT);
    }
    assert_int_equal(dist_data_parallel_state_load(j->dp, NULL, NULL, -1), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_data_parallel_state_load(j->dp, NULL, NULL, 2), DIST_ERR_ARGUMENT);

    /* A step on one rank alone: all refuse, and the step goes on. */
    if (rank == 0) {
        assert_dist(dist_data_parallel_ready(j->dp, 5, NULL));
        assert_int_equal(dist_data_parallel_state_save(j->dp, state_at, bytes), DIST_ERR_STATE);
    }
    assert_int_equal(load(j, &p, BY_NUMBER), DIST_ERR_STATE);
    assert_non_null(strstr(dist_last_error(), "wait"));
    for (size_t i = 0; i < PARAMETERS; i++)
        if (rank != 0 || i != 5)
            assert_dist(dist_data_parallel_ready(j->dp, i, NULL));
    assert_dist(dist_data_parallel_wait(j->dp, NULL));
    assert_dist(load(j, &p, BY_NUMBER));
    free(state_at);
    free_parts(&p);
    close_job(j);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_bit_for_bit),
        cmocka_unit_test(test_nothing_to_keep),
        cmocka_unit_test(test_bad_parts),
        cmocka_unit_test(test_other_parameters),
        cmocka_unit_test(test_misuse),
    };
    setenv("DIST_CHUNK", "1K", 1); /* so that every rank of a site has a share of each bucket */
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
