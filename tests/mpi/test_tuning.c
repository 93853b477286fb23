/* Tuning files on real ranks: auto takes what they name, a start with one measures nothing, and a bad one is refused by all ranks
 * alike. Only rank 0 has the file. */
/* ranks: 1 2 4 */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "harness.h"

enum { COUNT = 256 };

static int rank, ranks;
static char path[64];

static int find_path(void **state)
{
    (void)state;
    int pid = (int)getpid();
    MPI_Bcast(&pid, 1, MPI_INT, 0, MPI_COMM_WORLD);
    snprintf(path, sizeof path, "/tmp/dist-tuning-%d", pid);
    return 0;
}

/* A context that is told of the file on rank 0 alone, or of one that is not there on the others. */
static dist_context_options tuned(bool others_too)
{
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    options.timeout = 20;
    options.tuning = rank == 0 ? path : others_too ? "/no/such/file" : NULL;
    return options;
}

static dist_context *start(int sites, dist_context_options options)
{
    dist_context *context = harness_context(sites, 0, options);
    assert_non_null(context);
    return context;
}

static dist_context *start_plain(int sites)
{
    return start(sites, (dist_context_options)DIST_CONTEXT_OPTIONS_INIT);
}

static void put(const char *text, size_t bytes)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(text, 1, bytes, file), bytes);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* Ends the tuning. */
static void keep(dist_tuning *tuning)
{
    if (rank == 0)
        assert_dist(dist_tuning_write(tuning, path, "planted\nby a test"));
    dist_tuning_destroy(tuning);
    MPI_Barrier(MPI_COMM_WORLD);
}

static bool prints(const dist_context *context, dist_status (*print)(const dist_context *, FILE *),
                   const char *word)
{
    char text[8192] = "";
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_dist(print(context, file));
    rewind(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    const bool found = strstr(text, word) != NULL;
    if (!found)
        print_message("rank %d: '%s' does not say '%s'\n", rank, text, word);
    return found;
}

static uint64_t messages(dist_context *context)
{
    dist_counters counters;
    assert_dist(dist_counters_get(context, &counters));
    return counters.messages;
}

/* That this rank sends in an all-reduce, which tells algorithms apart. */
static uint64_t sent(dist_context *context, const char *algo)
{
    float data[COUNT];
    uint64_t before = 0;
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    options.algo = algo;
    for (int run = 0; run < 2; run++) { /* the first agrees on the plan */
        for (size_t i = 0; i < COUNT; i++)
            data[i] = (float)harness_value(rank, i);
        before = messages(context);
        assert_dist(dist_all_reduce(context, DIST_IN_PLACE, data, COUNT, DIST_FLOAT32, DIST_SUM, &options));
        for (size_t i = 0; i < COUNT; i++) {
            float sum = 0;
            for (int r = 0; r < ranks; r++)
                sum += (float)harness_value(r, i);
            assert_true(data[i] == sum);
        }
    }
    return messages(context) - before;
}

static uint64_t sent_by_bucket(dist_context *context)
{
    const dist_parameter parameter = {.name = "w", .count = COUNT, .type = DIST_FLOAT32};
    dist_data_parallel *dp;
    assert_dist(dist_data_parallel_create(context, &parameter, 1, NULL, &dp));
    float *gradient = dist_data_parallel_gradient(dp, 0);
    for (size_t i = 0; i < COUNT; i++)
        gradient[i] = (float)(rank * 2);
    const uint64_t before = messages(context);
    assert_dist(dist_data_parallel_ready(dp, 0, NULL));
    assert_dist(dist_data_parallel_wait(dp, NULL));
    const uint64_t after = messages(context);
    assert_true(gradient[COUNT - 1] == (float)(ranks - 1));
    assert_dist(dist_data_parallel_destroy(dp));
    return after - before;
}

static dist_status nothing(void *user, dist_pipeline_call *call)
{
    (void)user;
    (void)call;
    return DIST_OK;
}

/* Replicas of one stage: averages over all ranks. */
static uint64_t sent_by_replicas(dist_context *context)
{
    const dist_parameter parameter = {.name = "w", .count = COUNT, .type = DIST_FLOAT32};
    char mesh[32];
    dist_pipeline *pipeline;
    dist_pipeline_options options = DIST_PIPELINE_OPTIONS_INIT;
    snprintf(mesh, sizeof mesh, "pp:1,dp:%d", ranks);
    options.mesh = mesh;
    options.schedule = "gpipe";
    options.microbatches = 1;
    options.boundary_count = 1;
    options.forward = options.backward_input = nothing;
    assert_dist(dist_pipeline_create(context, &options, &pipeline));
    assert_dist(dist_pipeline_register(pipeline, 0, &parameter, 1, NULL));
    memset(dist_pipeline_gradient(pipeline, 0, 0), 0, COUNT * sizeof(float));
    const uint64_t before = messages(context);
    assert_dist(dist_pipeline_step(pipeline));
    const uint64_t after = messages(context);
    assert_dist(dist_pipeline_destroy(pipeline));
    return after - before;
}

static void plant(int sites, const char *algo)
{
    dist_tuning *tuning;
    dist_context *context = start_plain(sites);
    assert_dist(dist_tuning_create(context, &tuning));
    assert_dist(dist_finalize(context)); /* which the tuning outlives */
    assert_dist(dist_tuning_add(tuning, "all-reduce", "none", 0, UINT64_MAX, algo));
    keep(tuning);
}

static void test_auto_takes_the_planted_choice(void **state)
{
    (void)state;
    for (int sites = 1; sites <= (ranks > 1 ? 2 : 1); sites++) {
        plant(sites, "ring");
        dist_context *plain = start_plain(sites), *context = start(sites, tuned(sites == 2));
        const uint64_t ring = sent(plain, "ring");
        if (ranks > 1)
            assert_int_not_equal(sent(plain, "auto"), ring);
        assert_int_equal(sent(context, "auto"), ring);
        assert_int_equal(sent(context, NULL), ring);
        assert_int_equal(sent(context, "doubling"), sent(plain, "doubling"));
        assert_int_equal(sent_by_bucket(context), ring);
        assert_int_equal(sent_by_replicas(context), ring);
        assert_true(prints(context, dist_algorithms_print, "  ring (tuning file)\n"));
        assert_true(prints(context, dist_algorithms_print, "\nall-reduce none 0 max ring\n"));
        assert_true(prints(context, dist_topology_print, path));
        assert_dist(dist_finalize(context));
        assert_dist(dist_finalize(plain));
        plant(sites, "mpi"); /* where a group of ranks does not have it */
        context = start(sites, tuned(false));
        sent(context, "auto");
        assert_true(prints(context, dist_algorithms_print, "  mpi (tuning file)\n"));
        sent_by_replicas(context);
        assert_dist(dist_finalize(context));
    }
}

static uint64_t bytes_at_start(const dist_context *context)
{
    dist_counters counters;
    uint64_t most;
    assert_dist(dist_counters_get((dist_context *)(uintptr_t)context, &counters));
    MPI_Allreduce(&counters.bytes_across, &most, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    return most;
}

/* Starts with the file under DIST_WIRE and DIST_STREAMS; NULL: not set. */
static dist_context *start_under(const char *wire, const char *streams)
{
    if (wire)
        setenv("DIST_WIRE", wire, 1);
    if (streams)
        setenv("DIST_STREAMS", streams, 1);
    dist_context *context = start(2, tuned(false));
    unsetenv("DIST_WIRE");
    unsetenv("DIST_STREAMS");
    return context;
}

static void expect_start(const char *wire, const char *streams, const char *words, bool measures)
{
    dist_context *context = start_under(wire, streams);
    if (measures)
        assert_true(bytes_at_start(context) >= 256 << 10);
    else
        assert_true(bytes_at_start(context) < 16 << 10);
    assert_true(prints(context, dist_topology_print, words));
    sent(context, "hier");
    assert_dist(dist_finalize(context));
}

static void test_a_start_measures_nothing(void **state)
{
    (void)state;
    dist_tuning *tuning;
    if (ranks == 1)
        return;
    unlink(path);
    setenv("DIST_WIRE", "tcp", 1);
    dist_context *context = start_plain(2);
    unsetenv("DIST_WIRE");
    assert_true(bytes_at_start(context) >= 256 << 10); /* so much is what a look costs */
    assert_true(prints(context, dist_topology_print, "links: measured at the start"));
    assert_dist(dist_tuning_create(context, &tuning));
    assert_dist(dist_finalize(context));
    assert_dist(dist_tuning_set_streams(tuning, 5));
    keep(tuning);
    expect_start(NULL, NULL, "between sites: tcp, 5 streams",
                 false); /* the file's wire, also where sites share a node */
    expect_start(NULL, NULL, "links: read from the tuning file", false);
    expect_start("auto", "auto", "between sites: tcp, 5 streams", false);
    expect_start("tcp", NULL, "between sites: tcp, 5 streams", false);
    expect_start(NULL, "3", "between sites: tcp, 3 streams", false);
    expect_start("mpi", NULL, "between sites: mpi", false);
}

static void test_parts_of_a_file(void **state)
{
    (void)state;
    char text[512];
    const char *cluster = ranks == 2 ? "s0:0 s1:1" : "s0:0-1 s1:2-3";
    const char *links = "link s0 s1 0.03 25000000\nlink s1 s0 0.03 25000000\n";
    if (ranks == 1)
        return;
    /* 25 MB/s over a round trip of 60 ms, by 48 KiB a stream: 32 of them */
    snprintf(text, sizeof text, "libdist-tuning 1\ncluster sites %s\nwire tcp\n%s", cluster, links);
    put(text, strlen(text));
    expect_start(NULL, NULL, "between sites: tcp, 32 streams", false);
    expect_start("mpi", NULL, "between sites: mpi\n", false); /* links of TCP say nothing of MPI */
    snprintf(text, sizeof text, "libdist-tuning 1\ncluster sites %s\nwire mpi\n%s", cluster, links);
    put(text, strlen(text));
    expect_start(NULL, NULL, "between sites: mpi; s0 to s1 30.00 ms, 25.0 MB/s\n", false);
    expect_start("tcp", NULL, "links: measured at the start", true);
    snprintf(text, sizeof text, "libdist-tuning 1\ncluster sites %s\nwire tcp\n", cluster);
    put(text, strlen(text));
    expect_start(NULL, NULL, "links: measured at the start", true);
    snprintf(text, sizeof text, "libdist-tuning 1\ncluster sites %s\n%s", cluster, links);
    put(text, strlen(text));
    expect_start("tcp", NULL, "s0 to s1 30.00 ms, 25.0 MB/s\n", false);
    /* one direction is enough to know a link by, and not to know all */
    dist_link link;
    links = "link s1 s0 0.03 25000000\n";
    snprintf(text, sizeof text, "libdist-tuning 1\ncluster sites %s\nwire mpi\nstreams 7\n%s", cluster,
             links);
    put(text, strlen(text));
    expect_start(NULL, NULL, "links: read from the tuning file", false);
    dist_context *context = start(2, tuned(false));
    assert_int_equal(dist_link_get(context, 0, 1, &link), DIST_ERR_STATE);
    assert_dist(dist_finalize(context));
}

static void test_all_links(void **state)
{
    (void)state;
    dist_tuning *tuning;
    dist_link link, planted = {0.0125, 250000000};
    const int sites = ranks > 1 ? 2 : 1;
    dist_context *context = start_plain(sites);
    assert_dist(dist_links_measure(context));
    assert_true(sites == 1 || prints(context, dist_topology_print, "links: measured by dist_links_measure"));
    assert_dist(dist_tuning_create(context, &tuning));
    assert_dist(dist_finalize(context));
    assert_dist(dist_tuning_set_link(tuning, 0, sites - 1, &planted));
    keep(tuning);
    context = start(sites, tuned(false));
    assert_dist(dist_link_get(context, 0, sites - 1, &link)); /* nobody had to measure */
    assert_true(link.latency == 0.0125 && link.bandwidth == 250000000);
    assert_true(prints(context, dist_topology_print, "latency 12.500 ms, bandwidth 250.0 MB/s"));
    assert_dist(dist_links_measure(context)); /* and who asks for it still measures */
    assert_dist(dist_link_get(context, 0, sites - 1, &link));
    assert_true(link.latency < 0.0125 || link.latency > 0.0125);
    assert_true(prints(context, dist_topology_print, "links: measured by dist_links_measure"));
    assert_dist(dist_finalize(context));
}

static void refuse(const char *word)
{
    const dist_context_options options = tuned(false);
    dist_context *context = (dist_context *)&rank;
    const dist_status status = dist_init_mpi(&context, MPI_COMM_WORLD, &options);
    if (status != DIST_ERR_CONFIG || !strstr(dist_last_error(), word) || !strstr(dist_last_error(), path))
        fail_msg("rank %d: %s: '%s' should say '%s'", rank, dist_status_name(status), dist_last_error(),
                 word);
    assert_null(context);
}

static void refuse_text(const char *text, const char *word)
{
    put(text, strlen(text));
    refuse(word);
}

static void test_bad_files_are_refused_by_all(void **state)
{
    (void)state;
    const size_t large = ((size_t)1 << 20) + 1;
    char *text = calloc(1, large), site[32] = "site0:0";
    refuse_text("libdist-tuning 1\ncluster sites elsewhere:0-7\n", "elsewhere:0-7");
    if (ranks > 1)
        snprintf(site, sizeof site, "site0:0-%d", ranks - 1);
    refuse_text("libdist-tuning 1\ncluster sites elsewhere:0-7\n", site);
    refuse_text("libdist-tuning 2\n", "version 2");
    refuse_text("DIST_LOG = info\n", "not a tuning file");
    refuse_text("", "not a tuning file");
    refuse_text("libdist-tuning 1\ncluster sites", "no end");
    snprintf(text, large, "libdist-tuning 1\ncluster sites %s\nall-reduce none 7 6 ring\n", site);
    refuse_text(text, ":3: ");
    put(text, strlen(text) + 1);
    refuse("NUL");
    memset(text, '\n', large);
    put(text, large);
    refuse("1048577 bytes");
    free(text);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0)
        unlink(path);
    refuse("No such file");
    char file[sizeof path];
    strcpy(file, path);
    strcpy(path, "/dev"); /* a folder */
    refuse("not a file");
    strcpy(path, file);
    plant(1, "doubling"); /* and whoever corrects it goes on */
    setenv("DIST_TUNING", path, 1);
    dist_context *context = start_plain(1);
    unsetenv("DIST_TUNING");
    assert_true(prints(context, dist_options_print, path));
    assert_true(prints(context, dist_algorithms_print, "doubling (tuning file)"));
    assert_dist(dist_finalize(context));
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0)
        unlink(path);
}

/* What rank 0 does not name is not read. */
static void test_rank_0_counts(void **state)
{
    (void)state;
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    options.tuning = rank == 0 ? NULL : "/no/such/file";
    dist_context *context = start(1, options);
    sent(context, "auto");
    assert_dist(dist_finalize(context));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_auto_takes_the_planted_choice, find_path),
        cmocka_unit_test_setup(test_a_start_measures_nothing, find_path),
        cmocka_unit_test_setup(test_parts_of_a_file, find_path),
        cmocka_unit_test_setup(test_all_links, find_path),
        cmocka_unit_test_setup(test_bad_files_are_refused_by_all, find_path),
        cmocka_unit_test_setup(test_rank_0_counts, find_path),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
