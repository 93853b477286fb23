/* Starting and ending, who is where, and bad settings: every rank gets the same answer, and nobody waits. */
/* ranks: 1 2 4 */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "harness.h"

static int rank, ranks;

static dist_context_options quick(void)
{
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    options.timeout = 20;
    return options;
}

static void refuse(dist_context_options options, dist_status wanted, const char *word)
{
    dist_context *context = (dist_context *)&rank;
    dist_status status = dist_init_mpi(&context, MPI_COMM_WORLD, &options);
    if (status != wanted || !strstr(dist_last_error(), word))
        print_error("%s: '%s' should say '%s'\n", dist_status_name(status), dist_last_error(), word);
    assert_int_equal(status, wanted);
    assert_non_null(strstr(dist_last_error(), word));
    assert_null(context);
}

static void test_who_and_where(void **state)
{
    (void)state;
    int sites = ranks > 1 ? 2 : 1;
    dist_context *context = harness_context(sites, 0, quick());
    assert_non_null(context);
    assert_int_equal(dist_rank(context), rank);
    assert_int_equal(dist_ranks(context), ranks);
    assert_int_equal(dist_nodes(context), 1);
    assert_int_equal(dist_node(context), 0);
    assert_int_equal(dist_sites(context), sites);
    assert_int_equal(dist_site(context), harness_site(rank, ranks, sites, 0));
    assert_int_equal(dist_site_of(context, ranks - 1), sites - 1);
    assert_int_equal(dist_site_of(context, ranks), -1);
    assert_int_equal(dist_node_of(context, dist_rank(context)), dist_node(context));
    assert_int_equal(dist_node_of(context, ranks), -1);
    assert_string_equal(dist_site_name(context, 0), "s0");
    assert_string_equal(dist_site_name(context, sites), "");
    assert_int_equal(dist_rank(NULL), -1);
    assert_string_equal(dist_site_name(NULL, 0), "");
    assert_dist(dist_finalize(context));
    assert_dist(dist_finalize(NULL));
}

static void test_unknown_words(void **state)
{
    (void)state;
    dist_context_options options = quick();
    options.algo = "butterfly";
    refuse(options, DIST_ERR_ARGUMENT, "butterfly");
    options = quick(), options.codec = "int3";
    refuse(options, DIST_ERR_ARGUMENT, "int3");
    options = quick(), options.progress = "sometimes";
    refuse(options, DIST_ERR_CONFIG, "sometimes");
    options = quick(), options.timeout = -1;
    refuse(options, DIST_ERR_CONFIG, "DIST_TIMEOUT");
    options = quick(), options.size = 1;
    refuse(options, DIST_ERR_ARGUMENT, "DIST_CONTEXT_OPTIONS_INIT");
    assert_int_equal(dist_init_mpi(NULL, MPI_COMM_WORLD, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_init(NULL, NULL), DIST_ERR_ARGUMENT);
}

/* What is wrong on one rank is known to all, with its name, instead of a hang. */
static void test_wrong_on_one_rank(void **state)
{
    (void)state;
    dist_context_options options = quick();
    char name[32];
    snprintf(name, sizeof name, "rank %d on", ranks - 1);
    if (rank == ranks - 1)
        options.codec = "int99";
    refuse(options, DIST_ERR_ARGUMENT, name);
    options = quick();
    options.site = rank == ranks - 1 ? NULL : "here";
    if (ranks > 1)
        refuse(options, DIST_ERR_CONFIG, "");
}

static void test_unknown_variable(void **state)
{
    (void)state;
    char line[4096], text[8192] = "";
    setenv("DIST_COEDC", "int8", 1);
    dist_context *context = harness_context(1, 0, quick());
    assert_non_null(context); /* a warning, no error */
    FILE *file = tmpfile();
    assert_dist(dist_options_print(context, file));
    rewind(file);
    while (fgets(line, sizeof line, file) && strlen(text) + strlen(line) < sizeof text)
        strcat(text, line);
    fclose(file);
    assert_non_null(strstr(text, "DIST_COEDC"));
    assert_non_null(strstr(text, "DIST_CODEC?"));
    unsetenv("DIST_COEDC");
    assert_dist(dist_finalize(context));
}

static void write_sites(const char *path, const char *text)
{
    if (rank == 0) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void test_site_file(void **state)
{
    (void)state;
    char path[64], host[64] = "", text[256];
    dist_context_options options = quick();
    int pid = (int)getpid();
    MPI_Bcast(&pid, 1, MPI_INT, 0, MPI_COMM_WORLD);
    snprintf(path, sizeof path, "/tmp/dist-sites-%d", pid);
    gethostname(host, sizeof host - 1);
    unsetenv("DIST_SITE");
    options.sites = path;
    snprintf(text, sizeof text, "# hosts\nelsewhere-* far\n%s near\n", host);
    write_sites(path, text);
    dist_context *context = NULL;
    assert_dist(dist_init_mpi(&context, MPI_COMM_WORLD, &options));
    assert_string_equal(dist_site_name(context, dist_site(context)), "near");
    assert_dist(dist_finalize(context));
    write_sites(path, "elsewhere-* far\n");
    refuse(options, DIST_ERR_CONFIG, host); /* an unknown host */
    write_sites(path, "one-word\n");
    refuse(options, DIST_ERR_CONFIG, path);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0)
        unlink(path);
    MPI_Barrier(MPI_COMM_WORLD);
    refuse(options, DIST_ERR_CONFIG, path); /* and now there is none */
}

static void test_links(void **state)
{
    (void)state;
    dist_link link;
    int sites = ranks > 1 ? 2 : 1;
    dist_context *context = harness_context(sites, 0, quick());
    assert_non_null(context);
    assert_int_equal(dist_link_get(context, 0, 0, &link), DIST_ERR_STATE);
    assert_dist(dist_links_measure(context));
    for (int a = 0; a < sites; a++)
        for (int b = 0; b < sites; b++) {
            assert_dist(dist_link_get(context, a, b, &link));
            if (a != b)
                assert_true(link.latency > 0 && link.latency < 1 && link.bandwidth > 1e5);
        }
    assert_int_equal(dist_link_get(context, 0, sites, &link), DIST_ERR_ARGUMENT);
    assert_dist(dist_finalize(context));
}

static void test_bad_arguments(void **state)
{
    (void)state;
    dist_context *context = harness_context(ranks > 1 ? 2 : 1, 0, quick());
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    dist_request *request;
    dist_counters counters;
    float data[8] = {0};
    assert_non_null(context);
    assert_int_equal(dist_all_reduce(NULL, data, data, 1, DIST_FLOAT32, DIST_SUM, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_all_reduce(context, NULL, data, 1, DIST_FLOAT32, DIST_SUM, NULL),
                     DIST_ERR_ARGUMENT);
    assert_int_equal(dist_all_reduce(context, data, NULL, 1, DIST_FLOAT32, DIST_SUM, NULL),
                     DIST_ERR_ARGUMENT);
    assert_int_equal(dist_all_reduce(context, data, data, 4, DIST_FLOAT32, DIST_SUM, NULL),
                     DIST_ERR_ARGUMENT);
    assert_int_equal(dist_all_reduce(context, data, data + 2, 4, DIST_FLOAT32, DIST_SUM, NULL),
                     DIST_ERR_ARGUMENT);
    assert_int_equal(dist_all_reduce(context, DIST_IN_PLACE, data, 8, (dist_type)77, DIST_SUM, NULL),
                     DIST_ERR_ARGUMENT);
    assert_int_equal(dist_all_reduce(context, DIST_IN_PLACE, data, 8, DIST_FLOAT32, (dist_reduction)77, NULL),
                     DIST_ERR_ARGUMENT);
    assert_int_equal(
        dist_all_reduce(context, DIST_IN_PLACE, data, SIZE_MAX / 2, DIST_FLOAT32, DIST_SUM, NULL),
        DIST_ERR_ARGUMENT);
    assert_int_equal(dist_broadcast(context, data, 8, DIST_FLOAT32, ranks, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_broadcast(context, data, 8, DIST_FLOAT32, -1, NULL), DIST_ERR_ARGUMENT);
    options.algo = "star";
    assert_int_equal(dist_all_reduce(context, DIST_IN_PLACE, data, 8, DIST_FLOAT32, DIST_SUM, &options),
                     DIST_ERR_ARGUMENT);
    options.algo = NULL, options.codec = "zip";
    assert_int_equal(dist_all_reduce(context, DIST_IN_PLACE, data, 8, DIST_FLOAT32, DIST_SUM, &options),
                     DIST_ERR_ARGUMENT);
    options.codec = "int8";
    assert_int_equal(dist_all_reduce(context, DIST_IN_PLACE, data, 4, DIST_FLOAT64, DIST_SUM, &options),
                     DIST_ERR_UNSUPPORTED);
    assert_int_equal(dist_all_reduce(context, DIST_IN_PLACE, data, 8, DIST_FLOAT32, DIST_MAX, &options),
                     DIST_ERR_UNSUPPORTED);
    options.size = 0;
    assert_int_equal(dist_all_reduce(context, DIST_IN_PLACE, data, 8, DIST_FLOAT32, DIST_SUM, &options),
                     DIST_ERR_ARGUMENT);
    assert_int_equal(
        dist_all_reduce_init(context, DIST_IN_PLACE, data, 8, DIST_FLOAT32, DIST_SUM, NULL, NULL),
        DIST_ERR_ARGUMENT);
    assert_int_equal(dist_request_post(NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_request_wait(NULL, 0), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_counters_get(context, NULL), DIST_ERR_ARGUMENT);
    assert_dist(dist_request_destroy(NULL));
    assert_dist(
        dist_all_reduce(context, NULL, NULL, 0, DIST_FLOAT32, DIST_SUM, NULL)); /* nothing of nothing */
    assert_dist(dist_counters_get(context, &counters));
    assert_dist(
        dist_all_reduce_init(context, DIST_IN_PLACE, data, 8, DIST_FLOAT32, DIST_SUM, NULL, &request));
    assert_dist(dist_request_test(request)); /* never started: done */
    assert_dist(dist_request_post(request));
    assert_dist(dist_request_destroy(request)); /* in flight */
    assert_dist(dist_finalize(context));
}

/* Two contexts in one program do not hear each other. */
static void test_two_contexts(void **state)
{
    (void)state;
    dist_context *one = harness_context(1, 0, quick()), *two = harness_context(ranks > 1 ? 2 : 1, 0, quick());
    float a[3000], b[3000];
    assert_true(one && two);
    for (int i = 0; i < 3000; i++) {
        a[i] = (float)rank;
        b[i] = 1;
    }
    dist_request *request;
    assert_dist(dist_all_reduce_init(one, DIST_IN_PLACE, a, 3000, DIST_FLOAT32, DIST_SUM, NULL, &request));
    assert_dist(dist_request_post(request));
    assert_dist(dist_all_reduce(two, DIST_IN_PLACE, b, 3000, DIST_FLOAT32, DIST_SUM, NULL));
    assert_dist(dist_request_wait(request, 0));
    assert_true(a[2999] == (float)(ranks * (ranks - 1) / 2) && b[0] == (float)ranks);
    assert_dist(dist_request_destroy(request));
    assert_dist(dist_finalize(two));
    assert_dist(dist_finalize(one));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_and_where),     cmocka_unit_test(test_unknown_words),
        cmocka_unit_test(test_wrong_on_one_rank), cmocka_unit_test(test_unknown_variable),
        cmocka_unit_test(test_site_file),         cmocka_unit_test(test_links),
        cmocka_unit_test(test_bad_arguments),     cmocka_unit_test(test_two_contexts),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
