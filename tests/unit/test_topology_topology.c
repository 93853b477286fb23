#define _POSIX_C_SOURCE 200809L /* open_memstream */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libdist/status.h>

#include "base/memory.h"
#include "topology/topology.h"

static dist_rank_record record(const char *host, const char *site, int node)
{
    dist_rank_record made = {.node = node};
    snprintf(made.host, sizeof made.host, "%s", host);
    snprintf(made.site, sizeof made.site, "%s", site);
    return made;
}

static dist_topology *create(const dist_rank_record *records, int ranks)
{
    dist_topology *topology;
    if (dist_topology_create(&topology, records, ranks, "a test") != DIST_OK)
        fail_msg("%s", dist_last_error());
    return topology;
}

/* Creation must fail with `status` and a sentence that holds `part`. */
static void refused(const dist_rank_record *records, int ranks, dist_status status, const char *part)
{
    dist_topology *topology = (dist_topology *)1;
    assert_int_equal(dist_topology_create(&topology, records, ranks, ""), status);
    assert_null(topology);
    if (!strstr(dist_last_error(), part))
        fail_msg("'%s' lacks '%s'", dist_last_error(), part);
}

static void expect_place(const dist_topology *topology, int rank, int node, int site, int local)
{
    assert_int_equal(topology->place[rank].node, node);
    assert_int_equal(topology->place[rank].site, site);
    assert_int_equal(topology->place[rank].local, local);
    assert_int_equal(dist_topology_rank(topology, site, local), rank);
}

static void one_rank_is_one_site(void **state)
{
    (void)state;
    const dist_rank_record records[] = {record("a", "", 0)};
    dist_topology *topology = create(records, 1);
    assert_int_equal(topology->ranks, 1);
    assert_int_equal(topology->nodes, 1);
    assert_int_equal(topology->sites, 1);
    assert_int_equal(topology->rails, 1);
    assert_true(topology->equal);
    assert_null(topology->link);
    assert_string_equal(topology->site[0].name, "site0");
    assert_string_equal(topology->place[0].host, "a");
    assert_string_equal(topology->why, "a test");
    expect_place(topology, 0, 0, 0, 0);
    dist_topology_destroy(topology);
}

static void without_names_there_is_one_site(void **state)
{
    (void)state;
    const dist_rank_record records[] = {record("a", "", 0), record("b", "", 1), record("b", "", 1)};
    dist_topology *topology = create(records, 3);
    assert_int_equal(topology->sites, 1);
    assert_int_equal(topology->nodes, 2);
    assert_int_equal(topology->rails, 3);
    for (int rank = 0; rank < 3; rank++)
        expect_place(topology, rank, rank > 0, 0, rank);
    dist_topology_destroy(topology);
}

/* Ranks dealt out in turn, and the first site is the one of rank 0, not the first by name. */
static void interleaved_ranks_number_sites_by_lowest_rank(void **state)
{
    (void)state;
    const dist_rank_record records[] = {
        record("w1", "west", 0), record("e1", "east", 1), record("n1", "north", 2),
        record("w1", "west", 0), record("e2", "east", 4), record("n1", "north", 2),
    };
    dist_topology *topology = create(records, 6);
    assert_int_equal(topology->sites, 3);
    assert_int_equal(topology->nodes, 4);
    assert_int_equal(topology->rails, 2);
    assert_true(topology->equal);
    assert_string_equal(topology->site[0].name, "west");
    assert_string_equal(topology->site[1].name, "east");
    assert_string_equal(topology->site[2].name, "north");
    expect_place(topology, 0, 0, 0, 0);
    expect_place(topology, 1, 1, 1, 0);
    expect_place(topology, 2, 2, 2, 0);
    expect_place(topology, 3, 0, 0, 1);
    expect_place(topology, 4, 3, 1, 1);
    expect_place(topology, 5, 2, 2, 1);
    assert_string_equal(topology->place[4].host, "e2");
    dist_topology_destroy(topology);
}

static void unequal_sites_have_the_rails_of_the_smallest(void **state)
{
    (void)state;
    const dist_rank_record records[] = {
        record("a", "b", 0), record("b", "a", 1), record("a", "b", 0),
        record("a", "b", 0), record("b", "a", 1), record("c", "b", 5),
    };
    dist_topology *topology = create(records, 6);
    assert_false(topology->equal);
    assert_int_equal(topology->rails, 2);
    assert_int_equal(topology->site[0].count, 4);
    assert_int_equal(topology->site[1].count, 2);
    const int first[] = {0, 2, 3, 5}, second[] = {1, 4};
    assert_memory_equal(topology->site[0].rank, first, sizeof first);
    assert_memory_equal(topology->site[1].rank, second, sizeof second);
    dist_topology_destroy(topology);
}

/* As in a test on one machine: DIST_SITE differs between processes of one node. */
static void a_node_may_hold_two_sites(void **state)
{
    (void)state;
    const dist_rank_record records[] = {record("a", "x", 0), record("a", "y", 0)};
    dist_topology *topology = create(records, 2);
    assert_int_equal(topology->nodes, 1);
    assert_int_equal(topology->sites, 2);
    assert_string_equal(topology->site[0].name, "x");
    assert_string_equal(topology->site[1].name, "y");
    dist_topology_destroy(topology);
}

static void the_longest_names_fit(void **state)
{
    (void)state;
    dist_rank_record records[] = {record("", "", 0)};
    memset(records[0].host, 'h', DIST_NAME_MAX - 1);
    memset(records[0].site, 's', DIST_NAME_MAX - 1);
    dist_topology *topology = create(records, 1);
    assert_int_equal(strlen(topology->place[0].host), DIST_NAME_MAX - 1);
    assert_int_equal(strlen(topology->site[0].name), DIST_NAME_MAX - 1);
    dist_topology_destroy(topology);
}

static void a_mixture_names_the_first_rank_without_a_site(void **state)
{
    (void)state;
    const dist_rank_record records[] = {record("a", "east", 0), record("b", "east", 1), record("c", "", 2),
                                        record("d", "", 3)};
    refused(records, 4, DIST_ERR_CONFIG, "rank 2 on host 'c' names no site while rank 0 on host 'a' is on");
    refused(records, 4, DIST_ERR_CONFIG, "set DIST_SITE");
    refused(records + 3, 1, DIST_ERR_ARGUMENT, "node");
    const dist_rank_record late[] = {record("a", "", 0), record("b", "west", 1)};
    refused(late, 2, DIST_ERR_CONFIG, "rank 0 on host 'a' names no site while rank 1 on host 'b' is on site");
}

static void records_that_cannot_be_are_refused(void **state)
{
    (void)state;
    dist_rank_record records[] = {record("a", "", 0), record("b", "", 1), record("c", "", 2)};
    refused(records, 0, DIST_ERR_ARGUMENT, "not of 0");
    refused(records, -3, DIST_ERR_ARGUMENT, "not of -3");
    refused(NULL, 3, DIST_ERR_ARGUMENT, "records");
    records[1].node = -1;
    refused(records, 3, DIST_ERR_ARGUMENT, "rank 1 of 3 (host 'b') says that rank -1");
    records[1].node = 2; /* above itself */
    refused(records, 3, DIST_ERR_ARGUMENT, "says that rank 2");
    records[1].node = 0;
    records[2].node = 1; /* of a rank that is not the lowest itself */
    refused(records, 3, DIST_ERR_ARGUMENT, "rank 2 of 3 (host 'c') says that rank 1");
    records[2].node = 2;
    memset(records[2].host, 'x', DIST_NAME_MAX);
    refused(records, 3, DIST_ERR_ARGUMENT, "rank 2: its host or site name is longer than 63");
    memset(records[2].host, 0, DIST_NAME_MAX);
    memset(records[2].site, 'x', DIST_NAME_MAX);
    refused(records, 3, DIST_ERR_ARGUMENT, "rank 2: its host or site name is longer than 63");
}

static uint64_t hash_of(const dist_rank_record *records, int ranks)
{
    dist_topology *topology = create(records, ranks);
    uint64_t hash = dist_topology_hash(topology);
    dist_topology_destroy(topology);
    return hash;
}

static void the_hash_tells_places_apart_and_nothing_else(void **state)
{
    (void)state;
    const dist_rank_record base[] = {record("a", "x", 0), record("b", "y", 1), record("c", "x", 2)};
    const dist_rank_record other_names[] = {record("A", "X", 0), record("B", "Y", 1), record("C", "X", 2)};
    const dist_rank_record other_site[] = {record("a", "x", 0), record("b", "y", 1), record("c", "y", 2)};
    const dist_rank_record other_node[] = {record("a", "x", 0), record("b", "y", 1), record("a", "x", 0)};
    assert_true(hash_of(base, 3) == hash_of(base, 3));
    assert_true(hash_of(base, 3) == hash_of(other_names, 3));
    assert_true(hash_of(base, 3) != hash_of(other_site, 3));
    assert_true(hash_of(base, 3) != hash_of(other_node, 3));
    assert_true(hash_of(base, 3) != hash_of(base, 2));
    assert_true(hash_of(base, 1) == UINT64_C(0x5f242d39c2422be4)); /* on any machine */
}

static void expect_written(const dist_topology *topology, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    dist_topology_write(topology, file);
    fclose(file);
    assert_string_equal(text, expected);
    free(text);
}

static void writing_shows_sites_nodes_and_links(void **state)
{
    (void)state;
    const dist_rank_record records[] = {record("a1", "east", 0), record("b1", "west", 1),
                                        record("a1", "east", 0), record("a1", "east", 0),
                                        record("a2", "east", 4)};
    dist_topology *topology = create(records, 5);
    topology->link = dist_alloc_zeroed(4 * sizeof *topology->link);
    assert_non_null(topology->link);
    topology->link[1] = (dist_link){0.0125, 2.5e8};
    expect_written(topology, "5 ranks on 3 nodes in 2 sites (a test)\n"
                             "site 0 east: 4 ranks\n"
                             "  node 0 a1: ranks 0,2-3\n"
                             "  node 2 a2: ranks 4\n"
                             "site 1 west: 1 rank\n"
                             "  node 1 b1: ranks 1\n"
                             "rail 0: ranks 0,1\n"
                             "on no rail, because the smallest site has fewer: ranks 2,3,4\n"
                             "inside east: latency 0.000 ms, bandwidth 0.0 MB/s\n"
                             "east to west: latency 12.500 ms, bandwidth 250.0 MB/s\n"
                             "west to east: latency 0.000 ms, bandwidth 0.0 MB/s\n"
                             "inside west: latency 0.000 ms, bandwidth 0.0 MB/s\n");
    dist_topology_destroy(topology);
    dist_topology_destroy(NULL);
}

static void writing_shows_rails(void **state)
{
    (void)state;
    dist_topology *topology;
    assert_int_equal(dist_topology_describe(&topology, "2x2"), DIST_OK);
    expect_written(topology, "4 ranks on 2 nodes in 2 sites (described as 2x2)\n"
                             "site 0 site0: 2 ranks\n"
                             "  node 0 node0: ranks 0-1\n"
                             "site 1 site1: 2 ranks\n"
                             "  node 1 node1: ranks 2-3\n"
                             "rail 0: ranks 0,2\n"
                             "rail 1: ranks 1,3\n");
    dist_topology_destroy(topology);
}

/* As many ranks as fill their memory, so that a look beyond the last is found by the address sanitizer. */
static void writing_ends_with_the_last_rank(void **state)
{
    (void)state;
    dist_topology *topology;
    assert_int_equal(dist_topology_describe(&topology, "16"), DIST_OK);
    expect_written(topology, "16 ranks on 1 node in 1 site (described as 16)\n"
                             "site 0 site0: 16 ranks\n"
                             "  node 0 node0: ranks 0-15\n");
    dist_topology_destroy(topology);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_is_one_site),
        cmocka_unit_test(without_names_there_is_one_site),
        cmocka_unit_test(interleaved_ranks_number_sites_by_lowest_rank),
        cmocka_unit_test(unequal_sites_have_the_rails_of_the_smallest),
        cmocka_unit_test(a_node_may_hold_two_sites),
        cmocka_unit_test(the_longest_names_fit),
        cmocka_unit_test(a_mixture_names_the_first_rank_without_a_site),
        cmocka_unit_test(records_that_cannot_be_are_refused),
        cmocka_unit_test(the_hash_tells_places_apart_and_nothing_else),
        cmocka_unit_test(writing_shows_sites_nodes_and_links),
        cmocka_unit_test(writing_shows_rails),
        cmocka_unit_test(writing_ends_with_the_last_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
