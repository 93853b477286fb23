#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libdist/status.h>

#include "topology/topology.h"

static dist_topology *describe(const char *text)
{
    dist_topology *topology;
    if (dist_topology_describe(&topology, text) != DIST_OK)
        fail_msg("%s", dist_last_error());
    return topology;
}

/* `text` must give these sites, each one node, with ranks in order. */
static void expect_sites(const char *text, const int *count, int sites)
{
    dist_topology *topology = describe(text);
    assert_int_equal(topology->sites, sites);
    assert_int_equal(topology->nodes, sites);
    int ranks = 0;
    for (int site = 0; site < sites; site++) {
        assert_int_equal(topology->site[site].count, count[site]);
        for (int local = 0; local < count[site]; local++, ranks++) {
            assert_int_equal(dist_topology_rank(topology, site, local), ranks);
            assert_int_equal(topology->place[ranks].node, site);
        }
    }
    assert_int_equal(topology->ranks, ranks);
    dist_topology_destroy(topology);
}

static void clusters_are_described(void **state)
{
    (void)state;
    expect_sites("1", (int[]){1}, 1);
    expect_sites("4", (int[]){4}, 1);
    expect_sites("1x5", (int[]){5}, 1);
    expect_sites("2x3", (int[]){3, 3}, 2);
    expect_sites("3x1", (int[]){1, 1, 1}, 3);
    expect_sites("3,1,2", (int[]){3, 1, 2}, 3);
    expect_sites("10,012", (int[]){10, 12}, 2);
}

static void names_and_reason_are_for_people(void **state)
{
    (void)state;
    dist_topology *topology = describe("3,1,2");
    assert_string_equal(topology->site[0].name, "site0");
    assert_string_equal(topology->site[2].name, "site2");
    assert_string_equal(topology->place[3].host, "node1");
    assert_string_equal(topology->why, "described as 3,1,2");
    assert_int_equal(topology->rails, 1);
    assert_false(topology->equal);
    dist_topology_destroy(topology);
}

static void a_million_ranks_is_the_most(void **state)
{
    (void)state;
    dist_topology *topology = describe("1000x1000");
    assert_int_equal(topology->ranks, 1000000);
    assert_true(topology->equal);
    dist_topology_destroy(topology);
    topology = describe("999999,1");
    assert_int_equal(topology->site[1].rank[0], 999999);
    dist_topology_destroy(topology);
    topology = describe("1000000x1");
    assert_int_equal(topology->sites, 1000000);
    assert_string_equal(topology->site[999999].name, "site999999");
    dist_topology_destroy(topology);
}

static void other_texts_are_refused(void **state)
{
    (void)state;
    const char *const wrong[] = {
        "",          "0",          "x",   "2x",  "x3",      "2x0",       "0x3",       "2x3x1",
        "1,2x",      "3,,1",       ",3",  "3,",  "3,0,1",   " 4",        "4 ",        "+4",
        "-4",        "four",       "2X3", "2*3", "1000001", "1000000,1", "1001x1000", "99999999999999999999",
        "2000000x1", "65536x65536"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        dist_topology *topology = (dist_topology *)1;
        dist_status status = dist_topology_describe(&topology, wrong[i]);
        if (status != DIST_ERR_ARGUMENT || topology)
            fail_msg("'%s' gave %s", wrong[i], dist_status_name(status));
        char quoted[64];
        snprintf(quoted, sizeof quoted, "'%s' does not describe a cluster", wrong[i]);
        assert_non_null(strstr(dist_last_error(), quoted));
    }
    dist_topology *topology;
    assert_int_equal(dist_topology_describe(&topology, NULL), DIST_ERR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_are_described),
        cmocka_unit_test(names_and_reason_are_for_people),
        cmocka_unit_test(a_million_ranks_is_the_most),
        cmocka_unit_test(other_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
