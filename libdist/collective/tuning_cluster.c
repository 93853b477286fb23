/* The words that tell one cluster from another. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collective/tuning.h"

void dist_tuning_name(const char *name, char word[DIST_TUNING_NAME_MAX])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    static const char digit[] = "0123456789abcdef";
    for (; *name; name++) {
        const unsigned char c = (unsigned char)*name;
        if (strchr(plain, *name)) {
            *word++ = *name;
            continue;
        }
        *word++ = '%';
        *word++ = digit[c >> 4];
        *word++ = digit[c & 15];
    }
    *word = '\0';
}

/* Ranks that follow each other by the same step: "0-3", "0-6:2", "5". */
static void write_ranks(const int *rank, int count, FILE *file)
{
    int last;
    for (int first = 0; first < count; first = last + 1) {
        last = first;
        const int step = first + 1 < count ? rank[first + 1] - rank[first] : 0;
        while (last + 1 < count && rank[last + 1] - rank[last] == step)
            last++;
        if (last == first + 1 && step > 1)
            last = first;
        fprintf(file, "%s%d", first > 0 ? "," : "", rank[first]);
        if (last > first)
            fprintf(file, "-%d", rank[last]);
        if (last > first && step > 1)
            fprintf(file, ":%d", step);
    }
}

/* Nodes in the order of their lowest ranks; `on_node` has room for the ranks of one. */
static void write_site(const dist_topology *topology, const dist_site_ranks *site, int *on_node, FILE *file)
{
    char word[DIST_TUNING_NAME_MAX];
    dist_tuning_name(site->name, word);
    fprintf(file, " %s:", word);
    for (int first = 0; first < site->count; first++) {
        const int node = topology->place[site->rank[first]].node;
        int count = 0;
        bool seen = false;
        for (int i = 0; i < first && !seen; i++)
            seen = topology->place[site->rank[i]].node == node;
        if (seen)
            continue;
        for (int i = first; i < site->count; i++)
            if (topology->place[site->rank[i]].node == node)
                on_node[count++] = site->rank[i];
        if (first > 0)
            fputc('/', file);
        write_ranks(on_node, count, file);
    }
}

char *dist_tuning_cluster(const dist_topology *topology)
{
    char *text = NULL;
    size_t bytes;
    int *on_node = malloc((size_t)topology->ranks * sizeof *on_node);
    FILE *file = on_node ? open_memstream(&text, &bytes) : NULL;
    if (file) {
        fputs("sites", file);
        for (int s = 0; s < topology->sites; s++)
            write_site(topology, &topology->site[s], on_node, file);
        if (fclose(file) != 0) {
            free(text);
            text = NULL;
        }
    }
    free(on_node);
    return text;
}
