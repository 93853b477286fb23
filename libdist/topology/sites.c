#define _POSIX_C_SOURCE 200809L /* fnmatch */

#include "topology/topology.h"

#include <fnmatch.h>
#include <string.h>

#include "base/error.h"
#include "base/text_file.h"

typedef struct site_search {
    const char *path;
    const char *host;
    char *site; /* "" until a line matches */
} site_search;

/* Cuts the next word from *text; NULL when there is none. */
static char *next_word(char **text)
{
    char *word = *text + strspn(*text, DIST_BLANKS);
    if (*word == '\0')
        return NULL;
    char *end = word + strcspn(word, DIST_BLANKS);
    *text = end;
    if (*end != '\0') {
        *end = '\0';
        *text = end + 1;
    }
    return word;
}

/* Lines after the match are read too: a wrong line is then found on every host, not on some. */
static dist_status take_line(void *context, int number, char *line)
{
    site_search *search = context;
    char *pattern = next_word(&line), *site = next_word(&line);
    if (!site || next_word(&line))
        return dist_fail(DIST_ERR_CONFIG, "%s:%d: %s after '%.80s'; each line is a host pattern and a site",
                         search->path, number, site ? "more than one word" : "no site", pattern);
    if (strlen(site) >= DIST_NAME_MAX)
        return dist_fail(DIST_ERR_CONFIG, "%s:%d: the site name '%.80s' is longer than %d characters",
                         search->path, number, site, DIST_NAME_MAX - 1);
    if (search->site[0] == '\0' && fnmatch(pattern, search->host, 0) == 0)
        snprintf(search->site, DIST_NAME_MAX, "%s", site);
    return DIST_OK;
}

dist_status dist_site_from_file(const char *path, const char *host, char site[DIST_NAME_MAX])
{
    site[0] = '\0';
    site_search search = {.path = path, .host = host, .site = site};
    dist_status status = dist_text_file_read(path, "the site file (DIST_SITES)", take_line, &search);
    if (status == DIST_OK && site[0] == '\0')
        return dist_fail(
            DIST_ERR_CONFIG,
            "the site file '%s' (DIST_SITES) has no line for host '%s': add the line \"%s SITE\", "
            "or a pattern that matches it",
            path, host, host);
    if (status != DIST_OK)
        site[0] = '\0';
    return status;
}

/* Noise only adds to a latency, so the smaller of both directions is the truer; negative when neither was
 * measured. */
static double pair_latency(const double *latency, int nodes, int a, int b)
{
    double there = latency[(size_t)a * (size_t)nodes + (size_t)b];
    double back = latency[(size_t)b * (size_t)nodes + (size_t)a];
    if (!(back >= 0))
        return there >= 0 ? there : -1;
    return there >= 0 && there < back ? there : back;
}

static double near_limit(const double *latency, int nodes)
{
    const double always_near = 100e-6, factor = 8;
    const double never_near = 1e-3; /* one way: 200 km of fibre */
    double smallest = -1;
    for (int a = 0; a < nodes; a++) {
        for (int b = 0; b < a; b++) {
            double seconds = pair_latency(latency, nodes, a, b);
            if (seconds >= 0 && (smallest < 0 || seconds < smallest))
                smallest = seconds;
        }
    }
    double limit = factor * smallest > always_near ? factor * smallest : always_near;
    return limit < never_near ? limit : never_near;
}

/* The lowest node known to be in the same site; site[n] <= n holds throughout. */
static int find_lowest(int *site, int node)
{
    while (site[node] != node)
        node = site[node] = site[site[node]];
    return node;
}

void dist_sites_from_latency(const double *latency, int nodes, int *site)
{
    double limit = near_limit(latency, nodes);
    for (int a = 0; a < nodes; a++) {
        site[a] = a;
        for (int b = 0; b < a; b++) {
            double seconds = pair_latency(latency, nodes, a, b);
            int low = find_lowest(site, a), other = find_lowest(site, b);
            if (seconds < 0 || seconds >= limit)
                continue;
            if (low < other)
                site[other] = low;
            else
                site[low] = other;
        }
    }
    for (int node = 0; node < nodes; node++)
        site[node] = site[site[node]]; /* lower nodes point at their lowest already */
    int count = 0;
    for (int node = 0; node < nodes; node++)
        site[node] = site[node] == node ? count++ : site[site[node]];
}
