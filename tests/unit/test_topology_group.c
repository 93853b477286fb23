/* Topologies of some of the ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "topology/group.h"

/* Ranks 0 2 and 3 5 on two nodes of site a, 1 4 on one of b, 6 on one of c. */
enum { RANKS = 7, SITES = 3 };
static const char *const host[RANKS] = {"a0", "b0", "a0", "a1", "b0", "a1", "c0"};
static const char *const site[RANKS] = {"a", "b", "a", "a", "b", "a", "c"};
static const int node[RANKS] = {0, 1, 0, 3, 1, 3, 6};

static dist_topology *make_all(bool measured)
{
    dist_rank_record record[RANKS] = {0};
    dist_topology *all;
    for (int r = 0; r < RANKS; r++) {
        strcpy(record[r].host, host[r]);
        strcpy(record[r].site, site[r]);
        record[r].node = node[r];
    }
    assert_int_equal(dist_topology_create(&all, record, RANKS, "by a test"), DIST_OK);
    if (measured) {
        all->link = dist_alloc_zeroed(SITES * SITES * sizeof *all->link);
        for (int l = 0; l < SITES * SITES; l++)
            all->link[l] = (dist_link){.latency = l + 1, .bandwidth = 100 * l + 1};
    }
    return all;
}

/* Every pair of members shares a node or site in the group exactly if it does in the job; numbers ascend by lowest member. */
static void compare(const dist_topology *group, const dist_topology *all, const int *member, int members)
{
    int nodes = 0, sites = 0;
    assert_int_equal(group->ranks, members);
    for (int m = 0; m < members; m++) {
        const dist_place *mine = &group->place[m], *was = &all->place[member[m]];
        int new_node = 1, new_site = 1, local = 0;
        for (int o = 0; o < m; o++) {
            const dist_place *other = &group->place[o], *other_was = &all->place[member[o]];
            assert_int_equal(mine->node == other->node, was->node == other_was->node);
            assert_int_equal(mine->site == other->site, was->site == other_was->site);
            new_node &= mine->node != other->node;
            new_site &= mine->site != other->site;
            local += mine->site == other->site;
        }
        assert_int_equal(mine->local, local);
        assert_int_equal(dist_topology_rank(group, mine->site, local), m);
        assert_string_equal(mine->host, was->host);
        assert_string_equal(group->site[mine->site].name, all->site[was->site].name);
        if (new_node)
            assert_int_equal(mine->node, nodes++);
        if (new_site)
            assert_int_equal(mine->site, sites++);
    }
    assert_int_equal(group->nodes, nodes);
    assert_int_equal(group->sites, sites);
    assert_string_equal(group->why, all->why);
}

static void compare_links(const dist_topology *group, const dist_topology *all, const int *member)
{
    for (int s = 0; s < group->sites; s++)
        for (int t = 0; t < group->sites; t++) {
            const int from = all->place[member[group->site[s].rank[0]]].site;
            const int to = all->place[member[group->site[t].rank[0]]].site;
            assert_memory_equal(&group->link[s * group->sites + t], &all->link[from * SITES + to],
                                sizeof(dist_link));
        }
}

/* All 127 groups of the seven ranks, with links and without. */
static void test_every_group(void **state)
{
    (void)state;
    for (int measured = 0; measured < 2; measured++) {
        dist_topology *all = make_all(measured);
        for (unsigned set = 1; set < 1u << RANKS; set++) {
            int member[RANKS], members = 0;
            dist_topology *group;
            for (int r = 0; r < RANKS; r++)
                if (set >> r & 1)
                    member[members++] = r;
            assert_int_equal(dist_topology_group(&group, all, member, members), DIST_OK);
            compare(group, all, member, members);
            assert_int_equal(group->link != NULL, measured);
            if (measured)
                compare_links(group, all, member);
            if (members == RANKS)
                assert_true(dist_topology_hash(group) == dist_topology_hash(all));
            dist_topology_destroy(group);
        }
        dist_topology_destroy(all);
    }
}

/* Sites b and c of a, b, c, by numbers. */
static void test_by_hand(void **state)
{
    (void)state;
    dist_topology *all = make_all(true), *group;
    assert_int_equal(dist_topology_group(&group, all, (int[]){1, 4, 6}, 3), DIST_OK);
    assert_int_equal(group->sites, 2);
    assert_int_equal(group->rails, 1);
    assert_false(group->equal);
    assert_string_equal(group->site[0].name, "b");
    assert_string_equal(group->site[1].name, "c");
    assert_int_equal(group->place[2].node, 1);
    assert_true(group->link[0].latency == 5 && group->link[1].latency == 6 && group->link[2].latency == 8 &&
                group->link[3].latency == 9);
    dist_topology_destroy(group);
    dist_topology_destroy(all);
}

static void refused(const dist_topology *all, const int *member, int members, const char *part)
{
    dist_topology *group = (dist_topology *)1;
    assert_int_equal(dist_topology_group(&group, all, member, members), DIST_ERR_ARGUMENT);
    assert_null(group);
    if (!strstr(dist_last_error(), part))
        fail_msg("'%s' lacks '%s'", dist_last_error(), part);
}

static void test_bad_members(void **state)
{
    (void)state;
    dist_topology *all = make_all(false);
    refused(all, (int[]){0}, 0, "a group of 0 ranks");
    refused(all, NULL, 2, "a group of 2 ranks");
    refused(all, (int[]){0, RANKS}, 2, "member 1 of a group is rank 7;");
    refused(all, (int[]){-1}, 1, "member 0 of a group is rank -1;");
    refused(all, (int[]){2, 1}, 2, "member 1 of a group is rank 1, not above");
    refused(all, (int[]){2, 2}, 2, "member 1 of a group is rank 2, not above");
    dist_topology_destroy(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_group),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_bad_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
