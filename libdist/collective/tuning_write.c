/* From a tuning to its text. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "base/options.h"
#include "collective/tuning.h"

static void write_comment(const char *comment, FILE *file)
{
    while (comment && *comment) {
        const size_t length = strcspn(comment, "\n");
        fputs(length > 0 ? "# " : "#", file);
        fwrite(comment, 1, length, file);
        fputc('\n', file);
        comment += length + (comment[length] == '\n');
    }
}

static void write_link(const dist_tuning *tuning, int from, int to, FILE *file)
{
    const dist_link *link = &tuning->link[from * tuning->sites + to];
    char names[2][DIST_TUNING_NAME_MAX], latency[32], bandwidth[32];
    if (!(link->bandwidth > 0))
        return;
    dist_tuning_name(tuning->site[from], names[0]);
    dist_tuning_name(tuning->site[to], names[1]);
    dist_number_text(latency, sizeof latency, link->latency);
    dist_number_text(bandwidth, sizeof bandwidth, link->bandwidth);
    fprintf(file, "link %s %s %s %s\n", names[0], names[1], latency, bandwidth);
}

void dist_tuning_write_rows(const dist_tuning *tuning, FILE *file)
{
    static const char *const shots[] = {"", ":shots=1", ":shots=2"};
    for (size_t r = 0; r < tuning->rows; r++) {
        const dist_tuning_row *row = &tuning->row[r];
        fprintf(file, "%s %s %" PRIu64 " ", dist_collective_name(row->kind), row->codec, row->from);
        if (row->to == UINT64_MAX)
            fputs("max", file);
        else
            fprintf(file, "%" PRIu64, row->to);
        fprintf(file, " %s%s\n", dist_algo_name(row->algo.kind), shots[row->algo.shots]);
    }
}

static void write_all(const dist_tuning *tuning, const char *comment, FILE *file)
{
    fprintf(file, "libdist-tuning %d\n", DIST_TUNING_VERSION);
    write_comment(comment, file);
    fprintf(file, "cluster %s\n", tuning->cluster);
    if (tuning->wire != DIST_WIRE_CHOICE_AUTO)
        fprintf(file, "wire %s\n", tuning->wire == DIST_WIRE_CHOICE_TCP ? "tcp" : "mpi");
    if (tuning->streams > 0)
        fprintf(file, "streams %d\n", tuning->streams);
    for (int from = 0; from < tuning->sites; from++)
        for (int to = 0; to < tuning->sites; to++)
            write_link(tuning, from, to, file);
    dist_tuning_write_rows(tuning, file);
}

dist_status dist_tuning_text(const dist_tuning *tuning, const char *comment, char **text, size_t *bytes)
{
    *text = NULL;
    FILE *file = open_memstream(text, bytes);
    if (file)
        write_all(tuning, comment, file);
    const bool bad = file && ferror(file);
    if (!file || fclose(file) != 0 || bad) {
        free(*text);
        *text = NULL;
        return dist_fail(DIST_ERR_MEMORY, "no memory for the text of a tuning");
    }
    if (*bytes <= DIST_TUNING_MOST)
        return DIST_OK;
    free(*text);
    *text = NULL;
    return dist_fail(
        DIST_ERR_ARGUMENT,
        "the tuning would have %zu bytes, and a tuning file may have %zu; join sizes with the same choice, "
        "or shorten the comment",
        *bytes, DIST_TUNING_MOST);
}
