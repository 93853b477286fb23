/* Schedules as text: see schedule.h. */
#define _POSIX_C_SOURCE 200809L /* getline */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/text_file.h"
#include "parallel/schedule_internal.h"

static const char letters[] = "FBWD";

dist_status dist_schedule_write(const dist_schedule *schedule, FILE *file)
{
    fprintf(file, "schedule %s ranks %d chunks %d microbatches %d %s\nstages", schedule->name,
            schedule->ranks, schedule->chunks, schedule->microbatches, schedule->split ? "split" : "fused");
    for (int s = 0; s < schedule->stages; s++)
        fprintf(file, " %d", schedule->rank_of[s]);
    fprintf(file, "\n");
    for (int r = 0; r < schedule->ranks; r++) {
        fprintf(file, "%d:", r);
        for (size_t k = 0; k < schedule->slots[r]; k++) {
            const dist_slot slot = schedule->slot[r][k];
            fprintf(file, " %c%u.%" PRIu32, letters[slot.kind], (unsigned)slot.stage, slot.microbatch);
        }
        fprintf(file, "\n");
    }
    if (fflush(file) != 0 || ferror(file))
        return dist_fail(DIST_ERR_IO, "cannot write the schedule %s: %s", schedule->name, strerror(errno));
    return DIST_OK;
}

typedef struct source {
    const char *name; /* of the file */
    int line;
    dist_schedule *schedule; /* once its first line is read */
    bool placed;             /* the stages have their ranks */
    bool *has;               /* [ranks] which have had their line */
} source;

static dist_status wrong(const source *from, const char *reason, const char *word)
{
    return dist_fail(DIST_ERR_ARGUMENT, "%s:%d: %s '%.60s'", from->name, from->line, reason, word);
}

/* A number from 0 to `most` at *text, which moves on behind it; -1 when there is none. */
static int64_t number(char **text, int64_t most)
{
    int64_t value = 0;
    char *c = *text;
    for (; *c >= '0' && *c <= '9' && value <= most; c++)
        value = value * 10 + (*c - '0');
    if (c == *text || value > most)
        return -1;
    *text = c;
    return value;
}

/* The next word of *text, NULL at its end. */
static char *next_word(char **text)
{
    char *word = *text + strspn(*text, DIST_BLANKS);
    *text = word + strcspn(word, DIST_BLANKS);
    if (**text)
        *(*text)++ = '\0';
    return *word ? word : NULL;
}

/* "KEY N" with 1 <= N <= most. */
static dist_status counted(const source *from, char **text, const char *key, int64_t most, int *value)
{
    const char *word = next_word(text);
    if (!word || strcmp(word, key) != 0)
        return dist_fail(DIST_ERR_ARGUMENT, "%s:%d: '%s N' is needed here, not '%.60s'", from->name,
                         from->line, key, word ? word : "");
    char *digits = next_word(text), *end = digits;
    const int64_t read = digits ? number(&end, most) : -1;
    if (read < 1 || *end)
        return dist_fail(DIST_ERR_ARGUMENT, "%s:%d: %s is a number from 1 to %" PRId64 ", not '%.60s'",
                         from->name, from->line, key, most, digits ? digits : "");
    *value = (int)read;
    return DIST_OK;
}

static dist_status read_head(source *from, char *text)
{
    int ranks, chunks, microbatches;
    const char *word = next_word(&text);
    if (strcmp(word, "schedule") != 0)
        return wrong(from, "the first line must begin with 'schedule', not with", word);
    const char *name = next_word(&text);
    if (!name || strlen(name) >= sizeof from->schedule->name)
        return wrong(from, "the name of a schedule has 1 to 63 letters, unlike", name ? name : "");
    DIST_TRY(counted(from, &text, "ranks", DIST_SCHEDULE_MOST_STAGES, &ranks));
    DIST_TRY(counted(from, &text, "chunks", DIST_SCHEDULE_MOST_STAGES / ranks, &chunks));
    DIST_TRY(counted(from, &text, "microbatches", INT_MAX, &microbatches));
    word = next_word(&text);
    if (!word || (strcmp(word, "fused") != 0 && strcmp(word, "split") != 0))
        return wrong(from, "'fused' or 'split' is needed here, not", word ? word : "");
    const char *more = next_word(&text);
    if (more)
        return wrong(from, "nothing may follow here, but there is", more);
    dist_schedule *schedule =
        dist_schedule_new(name, ranks, chunks, microbatches, strcmp(word, "split") == 0);
    from->schedule = schedule;
    from->has = calloc((size_t)ranks, sizeof *from->has);
    return schedule && from->has ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "no memory for a schedule");
}

static dist_status read_stages(source *from, char *text)
{
    dist_schedule *schedule = from->schedule;
    char *word = next_word(&text);
    if (strcmp(word, "stages") != 0)
        return wrong(from, "the second line must begin with 'stages', not with", word);
    for (int s = 0; s < schedule->stages; s++) {
        word = next_word(&text);
        if (!word)
            return dist_fail(DIST_ERR_ARGUMENT, "%s:%d: stage %d has no rank; there are %d stages",
                             from->name, from->line, s, schedule->stages);
        char *end = word;
        const int64_t rank = number(&end, schedule->ranks - 1);
        if (rank < 0 || *end)
            return wrong(from, "there is no such rank as", word);
        schedule->rank_of[s] = (int)rank;
    }
    word = next_word(&text);
    if (word)
        return wrong(from, "every stage has a rank, but then there is", word);
    from->placed = true;
    return DIST_OK;
}

static dist_status read_slot(const source *from, char *word, dist_slot *slot)
{
    const dist_schedule *schedule = from->schedule;
    const char *letter = strchr(letters, *word);
    char *text = word + 1;
    const int64_t stage = number(&text, schedule->stages - 1);
    const bool point = stage >= 0 && *text == '.';
    text += point;
    const int64_t microbatch = point ? number(&text, schedule->microbatches - 1) : -1;
    if (!letter || microbatch < 0 || *text)
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "%s:%d: '%.60s' is no slot: write F, B, W or D, a stage from 0 to %d, a point, and a microbatch "
            "from 0 to %d",
            from->name, from->line, word, schedule->stages - 1, schedule->microbatches - 1);
    *slot = (dist_slot){
        .kind = (uint8_t)(letter - letters), .stage = (uint16_t)stage, .microbatch = (uint32_t)microbatch};
    return DIST_OK;
}

static dist_status read_rank(source *from, char *text)
{
    dist_schedule *schedule = from->schedule;
    char *begin = text;
    const int64_t rank = number(&text, schedule->ranks - 1);
    if (rank < 0 || *text++ != ':')
        return wrong(from, "a line must begin with the number of a rank and ':', not with", begin);
    if (from->has[rank])
        return dist_fail(DIST_ERR_ARGUMENT, "%s:%d: rank %" PRId64 " has a line already", from->name,
                         from->line, rank);
    from->has[rank] = true;
    size_t capacity = 0, *used = &schedule->slots[rank];
    for (char *word; (word = next_word(&text)); ++*used) {
        if (!dist_grow(&schedule->slot[rank], &capacity, *used + 1, sizeof(dist_slot)))
            return dist_fail(DIST_ERR_MEMORY, "no memory for the slots of rank %" PRId64, rank);
        DIST_TRY(read_slot(from, word, &schedule->slot[rank][*used]));
    }
    return DIST_OK;
}

static dist_status read_line(source *from, char *line)
{
    if (!from->schedule)
        return read_head(from, line);
    return from->placed ? read_rank(from, line) : read_stages(from, line);
}

static dist_status read_lines(source *from, FILE *file)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    dist_status status = DIST_OK;
    while (status == DIST_OK && (length = getline(&line, &capacity, file)) >= 0) {
        from->line++;
        if (strlen(line) != (size_t)length) {
            status =
                dist_fail(DIST_ERR_ARGUMENT, "%s:%d: the line holds a NUL character", from->name, from->line);
            break;
        }
        line[strcspn(line, "#")] = '\0';
        char *said = dist_trim(line);
        if (*said)
            status = read_line(from, said);
    }
    if (status == DIST_OK && ferror(file))
        status = dist_fail(DIST_ERR_IO, "cannot read the schedule in %s: %s", from->name, strerror(errno));
    free(line);
    return status;
}

static dist_status whole(const source *from)
{
    if (!from->schedule)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: there is no schedule in it", from->name);
    for (int r = 0; r < from->schedule->ranks; r++)
        if (!from->has[r])
            return dist_fail(DIST_ERR_ARGUMENT, "%s: there is no line '%d: ...' for rank %d", from->name, r,
                             r);
    const dist_status status = dist_schedule_check(from->schedule);
    if (status == DIST_ERR_PLAN)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %s", from->name, dist_last_error());
    return status;
}

dist_status dist_schedule_read(dist_schedule **schedule, FILE *file, const char *name)
{
    source from = {.name = name};
    *schedule = NULL;
    dist_status status = read_lines(&from, file);
    if (status == DIST_OK)
        status = whole(&from);
    free(from.has);
    if (status == DIST_OK)
        *schedule = from.schedule;
    else
        dist_schedule_destroy(from.schedule);
    return status;
}
