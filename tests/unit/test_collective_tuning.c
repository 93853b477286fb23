/* Tuning files: what they say of a cluster, every line that is refused, and that `auto` takes what they name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "collective/tuning.h"

#define HEAD "libdist-tuning 1\ncluster sites site0:0-1 site1:2-3\n"

static dist_topology *cluster;

static int describe(void **state)
{
    (void)state;
    return dist_topology_describe(&cluster, "2x2") != DIST_OK;
}

static int forget(void **state)
{
    (void)state;
    dist_topology_destroy(cluster);
    return 0;
}

static dist_tuning *read_text(const char *text)
{
    dist_tuning *tuning;
    if (dist_tuning_read(&tuning, "file", text, strlen(text), cluster) != DIST_OK)
        fail_msg("%s", dist_last_error());
    return tuning;
}

/* Ranks in order, each a site's letter and a node's digit: "a0 a0 b1". */
static void expect_cluster(const char *ranks, const char *wanted)
{
    dist_rank_record record[32] = {0};
    dist_topology *topology;
    int n = 0, first[10];
    memset(first, -1, sizeof first);
    for (const char *c = ranks; *c; c += 2 + (c[2] == ' '), n++) {
        if (first[c[1] - '0'] < 0)
            first[c[1] - '0'] = n;
        record[n].node = first[c[1] - '0'];
        record[n].site[0] = c[0];
    }
    assert_int_equal(dist_topology_create(&topology, record, n, ""), DIST_OK);
    char *said = dist_tuning_cluster(topology);
    assert_string_equal(said, wanted);
    free(said);
    dist_topology_destroy(topology);
}

static void test_clusters_are_told_apart(void **state)
{
    (void)state;
    expect_cluster("a0", "sites a:0");
    expect_cluster("a0 a0 a0 a0", "sites a:0-3");
    expect_cluster("a0 a0 a1 a1 b2 b2", "sites a:0-1/2-3 b:4-5");
    expect_cluster("b0 b0 a1", "sites b:0-1 a:2");
    expect_cluster("a0 a1 a0 a1 a0 a1", "sites a:0-4:2/1-5:2");
    expect_cluster("a0 a1 a0 a1", "sites a:0,2/1,3");
    expect_cluster("a0 b1 a0 b1 a0 a0 a0 b1", "sites a:0-4:2,5-6 b:1,3,7");
    expect_cluster("a0 b0 a0", "sites a:0,2 b:1"); /* two sites on one node */
    expect_cluster("#0 /0 ", "sites %23:0 %2f:1");
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char text[] = HEAD "wire tcp\nstreams 16\n"
                                    "link site0 site1 0.01503 23810000\n"
                                    "link site1 site0 0.015 1e+15\n"
                                    "all-reduce none 0 65536 doubling\n"
                                    "all-reduce int8:block=64 0 18446744073709551614 hier:shots=2\n"
                                    "all-reduce none 65537 max hier\n"
                                    "broadcast none 7 7 mpi\n";
    char *written;
    size_t bytes;
    dist_tuning *tuning = read_text(text);
    assert_string_equal(tuning->file, "file");
    assert_int_equal(tuning->wire, DIST_WIRE_CHOICE_TCP);
    assert_int_equal(tuning->streams, 16);
    assert_true(tuning->link[1].latency == 0.01503 && tuning->link[1].bandwidth == 23810000);
    assert_true(tuning->link[0].bandwidth == 0);
    assert_int_equal(tuning->rows, 4);
    assert_int_equal(dist_tuning_text(tuning, NULL, &written, &bytes), DIST_OK);
    assert_string_equal(written, text);
    assert_int_equal(bytes, strlen(text));
    free(written);
    setlocale(LC_NUMERIC, "de_DE.UTF-8"); /* where there is one */
    assert_int_equal(dist_tuning_text(tuning, "measured\n\non # Monday", &written, &bytes), DIST_OK);
    setlocale(LC_NUMERIC, "C");
    dist_tuning_free(tuning);
    assert_true(strncmp(written, "libdist-tuning 1\n# measured\n#\n# on # Monday\ncluster ", 52) == 0);
    assert_string_equal(strstr(written, "cluster"), text + 17);
    dist_tuning_free(read_text(written));
    free(written);
}

static void test_people_may_write_it(void **state)
{
    (void)state;
    dist_tuning *tuning = read_text("# of ours\n\n \tlibdist-tuning   1 \t# version\r\n"
                                    "  cluster   sites \t site0:0-1  site1:2-3   # all\r\n\n"
                                    "all-reduce\tint8:block=256  0 max hier # the codec's default\n"
                                    "#wire carrier-pigeon\n");
    assert_int_equal(tuning->rows, 1);
    assert_string_equal(tuning->row[0].codec, "int8");
    assert_int_equal(tuning->wire, DIST_WIRE_CHOICE_AUTO);
    dist_tuning_free(tuning);
    dist_tuning_free(read_text(HEAD)); /* nothing was measured yet */
}

static void refuse_bytes(const char *text, size_t bytes, const char *word)
{
    dist_tuning *tuning = (dist_tuning *)&bytes;
    const dist_status status = dist_tuning_read(&tuning, "some/file", text, bytes, cluster);
    if (status != DIST_ERR_CONFIG || !strstr(dist_last_error(), word) ||
        !strstr(dist_last_error(), "some/file"))
        fail_msg("%.80s: %s, '%s' should say '%s'", text, dist_status_name(status), dist_last_error(), word);
    assert_null(tuning);
}

static void refuse(const char *text, const char *word)
{
    refuse_bytes(text, strlen(text), word);
}

static void refuse_line(const char *line, const char *word)
{
    char text[1024];
    snprintf(text, sizeof text, HEAD "%s\n", line);
    refuse(text, "some/file:3: ");
    refuse(text, word);
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    refuse("", "not a tuning file");
    refuse("# nothing\n\n", "not a tuning file");
    refuse("libdist\n", "some/file:1: this is not a tuning file");
    refuse("\177ELF\2\1\1\n", "not a tuning file");
    refuse("libdist-tuning\n", "some/file:1: ");
    refuse("libdist-tuning 1 2\n", "form");
    refuse("libdist-tuning 2\ncluster elsewhere\n", "version 2; this libdist reads version 1");
    refuse("libdist-tuning one\n", "version one");
    refuse("libdist-tuning 1\n", "no line 'cluster");
    refuse("libdist-tuning 1\nstreams 4\n" HEAD, "must come before");
    refuse("libdist-tuning 1", "some/file:1: the line has no end");
    refuse(HEAD "all-reduce none 0 max ring", "some/file:3: the line has no end");
    refuse_bytes("libdist-tuning 1\n\0cluster\n", 26, "some/file:2: the line holds a NUL");
    refuse_bytes("\0", 1, "some/file:1: the line holds a NUL");
}

static void test_other_clusters(void **state)
{
    (void)state;
    static const char *const others[] = {"cluster",
                                         "cluster sites",
                                         "cluster sites site0:0-1 site1:2",
                                         "cluster sites site0:0-1 site1:2/3",
                                         "cluster sites site0:0-3",
                                         "cluster sites east:0-1 site1:2-3",
                                         "cluster sites site0:0-1 site1:2-3 site2:4",
                                         "cluster site0:0-1 site1:2-3"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char text[200];
        snprintf(text, sizeof text, "libdist-tuning 1\n%s\n", others[i]);
        refuse(text, "another cluster");
        refuse(text, "this job sites site0:0-1 site1:2-3");
        if (strlen(others[i]) > 20)
            refuse(text, others[i] + strlen("cluster "));
    }
}

static void test_lines_that_are_refused(void **state)
{
    (void)state;
    refuse_line("cluster sites site0:0-1 site1:2-3", "line 2 already");
    refuse_line("libdist-tuning 1", "begins no line");
    refuse_line("wires tcp", "'wires' begins no line");
    refuse_line("wire", "form 'wire tcp'");
    refuse_line("wire tcp mpi", "form");
    refuse_line("wire pigeon", "tcp or mpi");
    refuse_line("streams", "form");
    refuse_line("streams 0", "1 to 64");
    refuse_line("streams 65", "1 to 64");
    refuse_line("streams -1", "1 to 64");
    refuse_line("streams 1.5", "1 to 64");
    refuse_line("streams 18446744073709551617", "1 to 64");
    refuse_line("link site0 site1 0.1", "form");
    refuse_line("link site0 site1 0.1 1e6 1e6", "form");
    refuse_line("link site0 site2 0.1 1e6", "no site 'site2'");
    refuse_line("link west site0 0.1 1e6", "no site 'west'");
    refuse_line("link site0 site1 quick 1e6", "latency in seconds");
    refuse_line("link site0 site1 0.1 0x100", "latency in seconds");
    refuse_line("link site0 site1 inf 1e6", "latency in seconds");
    refuse_line("link site0 site1 1e999 1e6", "latency of inf");
    refuse_line("link site0 site1 -1 1e6", "latency of -1");
    refuse_line("link site0 site1 0.1 nan", "latency in seconds");
    refuse_line("link site0 site1 0.1 0", "bandwidth of 0");
    refuse_line("link site0 site1 0.1 1e16", "bandwidth of 1e+16");
    refuse_line("all-to-nobody none 0 max ring", "begins no line");
    refuse_line("all-reduce none 0 max", "form 'all-reduce none");
    refuse_line("all-reduce none 0 max ring hier", "form");
    refuse_line("all-reduce int3 0 max hier", "int3");
    refuse_line("all-reduce none 0 max butterfly", "butterfly");
    refuse_line("all-reduce none 0 max auto", "auto");
    refuse_line("all-reduce none 8 7 ring", "not from 8 to 7");
    refuse_line("all-reduce none max max ring", "whole numbers");
    refuse_line("all-reduce none -1 max ring", "whole numbers");
    refuse_line("all-reduce none 0 18446744073709551616 ring", "whole numbers");
    refuse_line("all-reduce none 0 64K ring", "whole numbers");
    refuse_line("all-reduce int8 0 max ring", "needs algorithm 'hier'");
    refuse_line("all-gather int8 0 max hier", "all-reduce");
    refuse_line("send-recv none 0 max ring", "nothing to choose");
    refuse_line("all-reduce powersgd 0 max hier", "none of a collective");
    refuse(HEAD "wire tcp\nwire tcp\n", "some/file:4: 'wire' was said on line 3");
    refuse(HEAD "streams 2\nstreams 2\n", "some/file:4: 'streams' was said on line 3");
    refuse(HEAD "link site0 site1 1 1e6\nlink site0 site1 1 1e6\n", "some/file:4: this link");
}

static void test_sizes_of_files(void **state)
{
    (void)state;
    char *text = malloc(DIST_TUNING_MOST + 2), *written;
    size_t bytes;
    memset(text, ' ', DIST_TUNING_MOST + 1);
    memcpy(text, HEAD, strlen(HEAD));
    text[DIST_TUNING_MOST - 1] = '\n';
    text[DIST_TUNING_MOST] = '\n';
    text[DIST_TUNING_MOST + 1] = '\0';
    refuse_bytes(text, DIST_TUNING_MOST + 1, "1048576");
    text[DIST_TUNING_MOST] = '\0';
    dist_tuning *tuning = read_text(text);
    memset(text, 'x', DIST_TUNING_MOST);
    text[0] = '\n';
    refuse(text, "no end");
    text[DIST_TUNING_MOST - 1] = '\n';
    refuse(text, "longer than any word");
    assert_int_equal(dist_tuning_text(tuning, text, &written, &bytes), DIST_ERR_ARGUMENT);
    assert_null(written);
    free(text);
    dist_tuning_free(tuning);
}

/* What the public calls forward to. */
static void test_made_by_hand(void **state)
{
    (void)state;
    dist_tuning *tuning;
    const dist_link good = {0.01, 1e6};
    assert_int_equal(dist_tuning_new(&tuning, cluster), DIST_OK);
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", "none", 1, 0, "ring"), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", "none", 0, 1, "auto"), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_add(tuning, "reduce", "none", 0, 1, "ring"), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_add(tuning, NULL, "none", 0, 1, "ring"), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", NULL, 0, 1, "ring"), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", "none", 0, 1, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_add(NULL, "all-reduce", "none", 0, 1, "ring"), DIST_ERR_ARGUMENT);
    assert_int_equal(tuning->rows, 0);
    assert_int_equal(dist_tuning_set_streams(tuning, 0), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_set_streams(tuning, 65), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_set_streams(tuning, 64), DIST_OK);
    assert_int_equal(dist_tuning_set_link(tuning, 0, 2, &good), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_set_link(tuning, -1, 1, &good), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_set_link(tuning, 0, 1, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_set_link(tuning, 0, 1, &(dist_link){0.01, 0}), DIST_ERR_ARGUMENT);
    assert_false(dist_tuning_has_links(tuning));
    assert_int_equal(dist_tuning_set_link(tuning, 0, 1, &good), DIST_OK);
    assert_true(dist_tuning_has_links(tuning));
    assert_int_equal(dist_tuning_set_link(tuning, 1, 0, &good), DIST_OK);
    assert_int_equal(dist_tuning_set_link(tuning, 0, 0, &good), DIST_OK);
    assert_false(dist_tuning_has_all_links(tuning, cluster));
    assert_int_equal(dist_tuning_set_link(tuning, 1, 1, &good), DIST_OK);
    assert_true(dist_tuning_has_all_links(tuning, cluster));
    assert_int_equal(dist_tuning_write(tuning, NULL, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_write(tuning, "/nowhere/at/all", NULL), DIST_ERR_IO);
    assert_non_null(strstr(dist_last_error(), "/nowhere/at/all"));
    for (int i = 0; i < 1000; i++)
        assert_int_equal(dist_tuning_add(tuning, "all-gather", "none", (uint64_t)i, (uint64_t)i, "mpi"),
                         DIST_OK);
    assert_int_equal(tuning->rows, 1000);
    dist_tuning *copy;
    assert_int_equal(dist_tuning_new(&copy, cluster), DIST_OK);
    assert_int_equal(dist_tuning_copy_rows(copy, tuning), DIST_OK);
    assert_int_equal(copy->rows, 1000);
    dist_tuning_destroy(copy);
    dist_tuning_destroy(tuning);
    dist_tuning_destroy(NULL);
    assert_int_equal(dist_tuning_create(NULL, NULL), DIST_ERR_ARGUMENT);
    assert_int_equal(dist_tuning_create(NULL, &tuning), DIST_ERR_ARGUMENT);
    assert_null(tuning);
}

/* A later row takes the sizes that it names from earlier ones of the same collective and codec. */
static void test_later_rows(void **state)
{
    (void)state;
    dist_tuning *tuning;
    assert_int_equal(dist_tuning_new(&tuning, cluster), DIST_OK);
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", "none", 0, UINT64_MAX, "ring"), DIST_OK);
    assert_int_equal(dist_tuning_add(tuning, "all-gather", "none", 0, UINT64_MAX, "ring"), DIST_OK);
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", "int8", 0, UINT64_MAX, "hier"), DIST_OK);
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", "none", 0, 999, "doubling"), DIST_OK);
    assert_int_equal(tuning->rows, 4);
    assert_true(tuning->row[0].from == 1000 && tuning->row[0].to == UINT64_MAX);
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", "none", 500, 2000, "halving"), DIST_OK);
    assert_int_equal(tuning->rows, 5);
    assert_true(tuning->row[0].from == 2001);
    assert_true(tuning->row[3].from == 0 && tuning->row[3].to == 499);
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", "none", 3000, 4000, "mpi"), DIST_OK);
    assert_true(tuning->row[0].from == 2001 && tuning->row[0].to == UINT64_MAX); /* it goes on at both ends */
    assert_int_equal(dist_tuning_add(tuning, "all-reduce", "none", 0, UINT64_MAX, "hier"), DIST_OK);
    assert_int_equal(tuning->rows, 3);
    dist_tuning_destroy(tuning);
}

static dist_spec spec_of(const dist_tuning *tuning, dist_collective_kind kind, uint64_t count)
{
    return (dist_spec){
        .kind = kind, .type = DIST_FLOAT32, .count = count, .topology = cluster, .tuning = tuning};
}

static void expect(dist_spec spec, dist_algo_kind wanted, int shots)
{
    assert_int_equal(dist_choose(&spec), DIST_OK);
    assert_string_equal(dist_algo_name(spec.algo.kind), dist_algo_name(wanted));
    assert_int_equal(spec.algo.shots, shots);
}

static void test_auto_takes_rows(void **state)
{
    (void)state;
    dist_tuning *tuning = read_text(HEAD "all-reduce none 100 max ring\n"
                                         "all-reduce none 4096 8192 mpi\n"
                                         "all-reduce int8 0 1000 hier:shots=2\n"
                                         "broadcast none 0 400 ring\n"
                                         "reduce-scatter none 0 400 halving\n"
                                         "all-gather none 1600 max mpi\n"
                                         "all-to-all none 0 1600 mpi\n"
                                         "barrier none 0 0 mpi\n");
    expect(spec_of(tuning, DIST_ALL_REDUCE, 24), DIST_ALGO_DOUBLING, 0); /* as predicted: 96 bytes */
    expect(spec_of(tuning, DIST_ALL_REDUCE, 25), DIST_ALGO_RING, 0);
    expect(spec_of(tuning, DIST_ALL_REDUCE, 1023), DIST_ALGO_RING, 0);
    expect(spec_of(tuning, DIST_ALL_REDUCE, 1024), DIST_ALGO_MPI, 0); /* the later row */
    expect(spec_of(tuning, DIST_ALL_REDUCE, 2048), DIST_ALGO_MPI, 0);
    expect(spec_of(tuning, DIST_ALL_REDUCE, 2049), DIST_ALGO_RING, 0);
    expect(spec_of(tuning, DIST_ALL_REDUCE, (uint64_t)1 << 50), DIST_ALGO_RING, 0);
    expect(spec_of(tuning, DIST_BROADCAST, 100), DIST_ALGO_RING, 0);
    expect(spec_of(tuning, DIST_BROADCAST, 101), DIST_ALGO_HIER, 0);
    expect(spec_of(tuning, DIST_REDUCE_SCATTER, 25), DIST_ALGO_HALVING, 0); /* 4 ranks x 25 x 4 bytes */
    expect(spec_of(tuning, DIST_REDUCE_SCATTER, 26), DIST_ALGO_HIER, 0);
    expect(spec_of(tuning, DIST_ALL_GATHER, 99), DIST_ALGO_HIER, 0);
    expect(spec_of(tuning, DIST_ALL_GATHER, 100), DIST_ALGO_MPI, 0);
    expect(spec_of(tuning, DIST_ALL_TO_ALL, 100), DIST_ALGO_MPI, 0);
    expect(spec_of(tuning, DIST_ALL_TO_ALL, 101), DIST_ALGO_HIER, 0);
    expect(spec_of(tuning, DIST_BARRIER, 0), DIST_ALGO_MPI, 0);
    dist_spec coded = spec_of(tuning, DIST_ALL_REDUCE, 250);
    assert_int_equal(dist_codec_parse("int8", DIST_SIMD_AUTO, &coded.codec), DIST_OK);
    expect(coded, DIST_ALGO_HIER, 2);
    coded.count = 251;
    expect(coded, DIST_ALGO_HIER, 0);
    dist_spec named = spec_of(tuning, DIST_ALL_REDUCE, 25);
    named.algo.kind = DIST_ALGO_HALVING; /* whoever asks gets it */
    expect(named, DIST_ALGO_HALVING, 0);
    dist_tuning_free(tuning);
}

/* Where a row does not fit the call it is as without the file. */
static void test_rows_that_do_not_fit(void **state)
{
    (void)state;
    dist_topology *half;
    dist_tuning *tuning = read_text(HEAD "all-reduce none 0 max mpi\nall-to-all none 0 max mpi\n");
    dist_spec spec = spec_of(tuning, DIST_ALL_REDUCE, 25);
    expect(spec, DIST_ALGO_MPI, 0);
    spec.group = true; /* MPI's own is over all ranks of the job */
    expect(spec, DIST_ALGO_DOUBLING, 0);
    spec.group = false;
    spec.device = true;
    expect(spec, DIST_ALGO_MPI, 0); /* by way of the host */
    spec.team = true;
    expect(spec, DIST_ALGO_HIER, 0); /* NCCL */
    spec.kind = DIST_ALL_TO_ALL;
    expect(spec, DIST_ALGO_MPI, 0); /* which it does not have */
    spec.kind = DIST_ALL_REDUCE;
    spec.device = false;
    expect(spec, DIST_ALGO_MPI, 0); /* shared memory: measured like the rest */
    assert_int_equal(dist_topology_describe(&half, "2x1"), DIST_OK);
    spec = spec_of(tuning, DIST_ALL_REDUCE, 25);
    spec.topology = half;
    expect(spec, DIST_ALGO_DOUBLING, 0); /* some of the ranks are another cluster */
    dist_topology_destroy(half);
    dist_tuning_free(tuning);
}

static void test_table(void **state)
{
    (void)state;
    char text[4096] = "";
    dist_tuning *tuning = read_text(HEAD "all-reduce none 0 4096 hier:shots=1\n");
    FILE *file = tmpfile();
    dist_choices_write(&(dist_spec){.topology = cluster, .tuning = tuning}, file);
    rewind(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "hier:shots=1 (tuning file)\n"));
    assert_non_null(strstr(text, "\nall-reduce none 0 4096 hier:shots=1\n"));
    assert_non_null(strstr(text, "  hier\n")); /* 256 MiB: as predicted */
    dist_tuning_free(tuning);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clusters_are_told_apart),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_people_may_write_it),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_other_clusters),
        cmocka_unit_test(test_lines_that_are_refused),
        cmocka_unit_test(test_sizes_of_files),
        cmocka_unit_test(test_made_by_hand),
        cmocka_unit_test(test_later_rows),
        cmocka_unit_test(test_auto_takes_rows),
        cmocka_unit_test(test_rows_that_do_not_fit),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, describe, forget);
}
