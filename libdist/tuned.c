/* The tuning file at the start: rank 0 reads, all hear, and what it says of links takes the place of a look at them. */
#include "tuned.h"

#include <stdlib.h>
#include <string.h>

#include "base/text_file.h"
#include "collective/tuning.h"

#define WORD sizeof(int32_t)

static uint64_t words_of(uint64_t bytes)
{
    return (bytes + WORD - 1) / WORD;
}

dist_status dist_tuned_load(const dist_context *context, dist_tuning_file *file)
{
    const char *path = dist_option_text(&context->options, DIST_OPTION_TUNING);
    const size_t name = strlen(path) + 1;
    char *text;
    size_t bytes;
    if (context->wire->rank != 0 || path[0] == '\0')
        return DIST_OK;
    DIST_TRY(dist_text_file_load(path, DIST_TUNING_WHAT, DIST_TUNING_MOST, &text, &bytes));
    file->text = calloc(words_of(name + bytes), WORD);
    if (file->text) {
        memcpy(file->text, path, name);
        memcpy(file->text + name, text, bytes);
        file->bytes = name + bytes;
    }
    free(text);
    return file->text ? DIST_OK
                      : dist_fail(DIST_ERR_MEMORY, "no memory for %zu bytes of the tuning file", bytes);
}

/* Rank 0's words to all. */
static dist_status broadcast(dist_context *context, void *data, uint64_t words)
{
    dist_plan *plan;
    dist_task *task;
    const dist_spec spec = {.kind = DIST_BROADCAST,
                            .algo = {.kind = DIST_ALGO_HALVING},
                            .type = DIST_INT32,
                            .count = words,
                            .in_place = true,
                            .topology = context->topology,
                            .rank = context->wire->rank};
    DIST_TRY(dist_collective_plan(&plan, &spec));
    DIST_TRY(dist_task_create(&task, context->engine, plan, (void *[]){data}));
    const dist_status status = dist_task_run(task), ended = dist_task_destroy(task);
    return status < 0 ? status : ended;
}

dist_status dist_tuned_spread(dist_context *context, dist_tuning_file *file)
{
    if (file->bytes == 0 && dist_option_text(&context->options, DIST_OPTION_TUNING)[0] != '\0')
        dist_log_write(
            &context->log, DIST_LOG_WARN,
            "DIST_TUNING has no effect here: rank 0 reads the tuning file for all, and names none");
    if (file->bytes == 0)
        return DIST_OK;
    if (!file->text && !(file->text = calloc(words_of(file->bytes), WORD)))
        return dist_fail(DIST_ERR_MEMORY, "no memory for the tuning file of rank 0");
    DIST_TRY(broadcast(context, file->text, words_of(file->bytes)));
    const size_t name = strlen(file->text) + 1;
    DIST_TRY(dist_tuning_read(&context->tuning, file->text, file->text + name, file->bytes - name,
                              context->topology));
    if (context->wire->rank == 0)
        dist_log_write(&context->log, DIST_LOG_INFO, "tuning file %s: %zu choice%s%s%s",
                       context->tuning->file, context->tuning->rows, context->tuning->rows == 1 ? "" : "s",
                       context->tuning->streams > 0 ? ", streams" : "",
                       dist_tuning_has_links(context->tuning) ? ", links" : "");
    return DIST_OK;
}

static dist_status make_links(const dist_topology *topology, dist_link **link)
{
    const size_t pairs = (size_t)topology->sites * (size_t)topology->sites;
    if (!*link && !(*link = calloc(pairs, sizeof **link)))
        return dist_fail(DIST_ERR_MEMORY, "no memory for %zu links", pairs);
    return DIST_OK;
}

dist_status dist_tuned_links(dist_context *context)
{
    const dist_tuning *tuning = context->tuning;
    dist_topology *t = context->topology;
    int named = 0;
    for (int i = 0; i < t->sites * t->sites; i++)
        named += tuning->link[i].bandwidth > 0;
    if (named == 0)
        return DIST_OK;
    const bool looked = t->probed != NULL;
    const bool all = dist_tuning_has_all_links(tuning, t);
    DIST_TRY(make_links(t, &t->probed));
    if (all)
        DIST_TRY(make_links(t, &t->link));
    for (int i = 0; i < t->sites * t->sites; i++) {
        if (tuning->link[i].bandwidth > 0)
            t->probed[i] = tuning->link[i];
        if (all)
            t->link[i] = tuning->link[i];
    }
    context->links_read = all;
    context->looked = looked
                          ? "those that the tuning file names are its own, others were measured at the start"
                          : "read from the tuning file";
    return DIST_OK;
}

void dist_tuned_print(const dist_context *context, FILE *file)
{
    const dist_tuning *tuning = context->tuning;
    if (tuning)
        fprintf(file, "tuning file: %s: %zu choice%s%s%s%s\n", tuning->file, tuning->rows,
                tuning->rows == 1 ? "" : "s", tuning->wire ? ", the wire" : "",
                tuning->streams > 0 ? ", streams" : "", dist_tuning_has_links(tuning) ? ", links" : "");
    if (context->topology->link && !context->links_read)
        fputs("links: measured by dist_links_measure\n", file);
    else if (context->looked)
        fprintf(file, "links: %s\n", context->looked);
}
