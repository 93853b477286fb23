#define _POSIX_C_SOURCE 200809L /* mkstemp */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include <libdist/status.h>

#include "topology/topology.h"

static char path[] = "/tmp/dist_sites_XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int file = mkstemp(path);
    return file < 0 ? -1 : close(file);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text, size_t length)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void on_site(const char *host, const char *expected)
{
    char site[DIST_NAME_MAX];
    if (dist_site_from_file(path, host, site) != DIST_OK)
        fail_msg("%s", dist_last_error());
    assert_string_equal(site, expected);
}

/* `host` must be refused with a sentence that holds `part`, and no site is left behind. */
static void refused(const char *file, const char *host, const char *part)
{
    char site[DIST_NAME_MAX] = "before";
    assert_int_equal(dist_site_from_file(file, host, site), DIST_ERR_CONFIG);
    assert_string_equal(site, "");
    if (!strstr(dist_last_error(), part))
        fail_msg("'%s' lacks '%s'", dist_last_error(), part);
}

static void malformed(const char *text, size_t length, int line, const char *part)
{
    char expected[256];
    write_file(text, length);
    snprintf(expected, sizeof expected, "%s:%d: %s", path, line, part);
    refused(path, "a01", expected);
}

static void the_first_pattern_that_matches_counts(void **state)
{
    (void)state;
    const char *text = "# hosts of both rooms\n"
                       "\n"
                       "a0[1-3]   east  # the first rack\n"
                       "\ta*.lan\twest\r\n"
                       "a0?       north\n"
                       "gpu-exact south";
    write_file(text, strlen(text));
    on_site("a02", "east");
    on_site("a04", "north");
    on_site("a17.lan", "west");
    on_site("gpu-exact", "south");
}

static void an_unknown_host_is_named(void **state)
{
    (void)state;
    write_file("a* east\n", 8);
    char expected[256];
    snprintf(expected, sizeof expected,
             "'%s' (DIST_SITES) has no line for host 'b01': add the line \"b01 SITE\"", path);
    refused(path, "b01", expected);
    refused(path, "A01", "no line for host 'A01'");
    write_file("", 0);
    refused(path, "a01", "no line for host 'a01'");
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    refused("/nowhere/sites", "a01", "cannot read the site file (DIST_SITES) '/nowhere/sites': No such file");
    refused("/tmp", "a01", "cannot read the site file (DIST_SITES) '/tmp': Is a directory");
}

/* Also behind the line that matches: every host finds the same fault. */
static void malformed_lines_are_named(void **state)
{
    (void)state;
    const char *text = "a* east\n# fine\nlonely\n";
    malformed(text, strlen(text), 3, "no site after 'lonely'");
    text = "a* # east\n";
    malformed(text, strlen(text), 1, "no site after 'a*'");
    text = "a* east\nb* west coast\n";
    malformed(text, strlen(text), 2, "more than one word after 'b*'");
    malformed("a* east\nb* w\0t\n", 16, 2, "the line holds a NUL character");
    char longest[DIST_NAME_MAX + 3] = "a ";
    memset(longest + 2, 's', DIST_NAME_MAX);
    malformed(longest, 2 + DIST_NAME_MAX, 1, "the site name 'sss");
    refused(path, "a", "is longer than 63 characters");
    write_file(longest, 2 + DIST_NAME_MAX - 1);
    longest[2 + DIST_NAME_MAX - 1] = '\0';
    on_site("a", longest + 2);
}

#define MOST 12

/* Both directions of a pair. */
static void set(double *latency, int nodes, int a, int b, double seconds)
{
    latency[a * nodes + b] = latency[b * nodes + a] = seconds;
}

static void expect_sites(const double *latency, int nodes, const int *expected)
{
    int site[MOST];
    memset(site, 0xff, sizeof site);
    dist_sites_from_latency(latency, nodes, site);
    for (int node = 0; node < nodes; node++) {
        if (site[node] != expected[node])
            fail_msg("node %d is on site %d, not %d", node, site[node], expected[node]);
    }
}

/* Nodes in the given groups: `near` seconds and noise inside, `far` between. */
static void expect_groups(const int *group, int nodes, double near, double noise, double far)
{
    double latency[MOST * MOST] = {0};
    unsigned random = 12345;
    for (int a = 0; a < nodes; a++) {
        for (int b = 0; b < nodes; b++) {
            random = random * 1664525u + 1013904223u;
            double share = (random >> 8) * 0x1p-24;
            if (a != b)
                latency[a * nodes + b] = (group[a] == group[b] ? near : far) + noise * share;
        }
    }
    expect_sites(latency, nodes, group);
}

static void a_lan_with_noise_is_one_site(void **state)
{
    (void)state;
    const int one[MOST] = {0};
    expect_groups(one, MOST, 20e-6, 60e-6, 0);
    expect_groups(one, MOST, 2e-6, 90e-6, 0); /* 45 times the smallest, but all under 100 microseconds */
}

static void sites_far_apart_are_found(void **state)
{
    (void)state;
    const int two[] = {0, 1, 0, 1, 1, 0}, three[] = {0, 0, 1, 1, 2, 2, 0, 1, 2};
    expect_groups(two, 6, 30e-6, 50e-6, 10e-3);
    expect_groups(three, 9, 150e-6, 300e-6, 5e-3);
    const int with_single[] = {0, 1, 1, 2};
    expect_groups(with_single, 4, 30e-6, 0, 2e-3);
}

static void equal_latencies_are_one_site_or_all_far(void **state)
{
    (void)state;
    const int one[MOST] = {0}, each[] = {0, 1, 2, 3, 4};
    expect_groups(one, 5, 50e-6, 0, 0);
    expect_groups(one, 5, 900e-6, 0, 0);
    expect_groups(each, 5, 0, 0, 1e-3); /* no machine room is that large */
}

static void one_node_or_none_is_no_trouble(void **state)
{
    (void)state;
    double latency[1] = {0};
    expect_sites(latency, 1, (int[]){0});
    dist_sites_from_latency(latency, 0, NULL);
}

static void the_limit_is_eight_times_the_smallest(void **state)
{
    (void)state;
    double latency[9] = {0};
    set(latency, 3, 0, 1, 0x1p-13);
    set(latency, 3, 0, 2, 0x1p-10);
    set(latency, 3, 1, 2, 0x1p-10);
    expect_sites(latency, 3, (int[]){0, 0, 1});
    set(latency, 3, 1, 2, 0x1p-10 * 0.999);
    expect_sites(latency, 3, (int[]){0, 0, 0});
}

/* As a clock too coarse for a fast network has it. */
static void no_latency_at_all_is_near(void **state)
{
    (void)state;
    double latency[9] = {0};
    set(latency, 3, 0, 2, 20e-3);
    set(latency, 3, 1, 2, 2e-3);
    expect_sites(latency, 3, (int[]){0, 0, 1});
    latency[0 * 3 + 1] = NAN;
    expect_sites(latency, 3, (int[]){0, 0, 1});
    latency[0 * 3 + 1] = 0;
    latency[1 * 3 + 0] = NAN;
    expect_sites(latency, 3, (int[]){0, 0, 1});
    latency[1 * 3 + 0] = 0.3;
    expect_sites(latency, 3, (int[]){0, 0, 1});
}

/* 2 and 0 meet only through 3, the last; 1 is far from all. */
static void nearness_is_transitive(void **state)
{
    (void)state;
    double latency[16] = {0};
    for (int a = 0; a < 4; a++) {
        for (int b = 0; b < a; b++)
            set(latency, 4, a, b, 0.5);
    }
    set(latency, 4, 0, 3, 50e-6);
    set(latency, 4, 2, 3, 60e-6);
    expect_sites(latency, 4, (int[]){0, 1, 0, 0});
}

/* A chain from the highest node down joins groups that were apart until its last link. */
static void a_chain_joins_late(void **state)
{
    (void)state;
    double latency[36] = {0};
    for (int a = 0; a < 6; a++) {
        for (int b = 0; b < a; b++)
            set(latency, 6, a, b, 1);
    }
    set(latency, 6, 1, 3, 10e-6);
    set(latency, 6, 2, 4, 10e-6);
    set(latency, 6, 3, 5, 10e-6);
    set(latency, 6, 4, 5, 10e-6);
    expect_sites(latency, 6, (int[]){0, 1, 1, 1, 1, 1});
}

/* One direction may be slow by chance, or never measured; no measure at all is no nearness. */
static void the_better_direction_counts(void **state)
{
    (void)state;
    double latency[9] = {0};
    set(latency, 3, 0, 1, 50e-6);
    set(latency, 3, 0, 2, NAN);
    set(latency, 3, 1, 2, -1);
    latency[0 * 3 + 1] = 0.3;
    expect_sites(latency, 3, (int[]){0, 0, 1});
    latency[0 * 3 + 1] = 50e-6;
    latency[1 * 3 + 0] = 0.3;
    expect_sites(latency, 3, (int[]){0, 0, 1});
    latency[1 * 3 + 0] = 50e-6;
    latency[0 * 3 + 1] = NAN;
    expect_sites(latency, 3, (int[]){0, 0, 1});
    latency[0 * 3 + 1] = 50e-6;
    latency[1 * 3 + 0] = NAN;
    expect_sites(latency, 3, (int[]){0, 0, 1});
    for (int i = 0; i < 9; i++)
        latency[i] = i % 2 ? NAN : INFINITY;
    expect_sites(latency, 3, (int[]){0, 1, 2});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_pattern_that_matches_counts),
        cmocka_unit_test(an_unknown_host_is_named),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(malformed_lines_are_named),
        cmocka_unit_test(a_lan_with_noise_is_one_site),
        cmocka_unit_test(sites_far_apart_are_found),
        cmocka_unit_test(equal_latencies_are_one_site_or_all_far),
        cmocka_unit_test(one_node_or_none_is_no_trouble),
        cmocka_unit_test(the_limit_is_eight_times_the_smallest),
        cmocka_unit_test(no_latency_at_all_is_near),
        cmocka_unit_test(nearness_is_transitive),
        cmocka_unit_test(a_chain_joins_late),
        cmocka_unit_test(the_better_direction_counts),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
