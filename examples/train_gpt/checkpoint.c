#include "checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"

#define MAGIC  0x3154504b43545047u /* "GPTCKPT1": read in another byte order it is not the same number */
#define NAME   1024                /* bytes of a file's name at most */
#define NOBODY 1e9                 /* in place of a rank */

/* The head of FILE; weights, first and second moments follow. */
typedef struct head {
    uint64_t magic;
    uint64_t layers, heads, width, context, untied, weights; /* of the model */
    uint64_t steps;
    uint64_t parts; /* files with what ranks kept; 0: the averages keep nothing */
    double power1, power2;
} head;

typedef struct sentence {
    char text[NAME + 256];
} sentence;

static head head_of(const gpt_checkpoint *c, size_t steps, size_t parts)
{
    const gpt_options *o = c->options;
    return (head){.magic = MAGIC,
                  .layers = o->layers,
                  .heads = o->heads,
                  .width = o->width,
                  .context = o->context,
                  .untied = o->untied,
                  .weights = c->model->weights_count,
                  .steps = steps,
                  .parts = parts,
                  .power1 = c->optimizer->power1,
                  .power2 = c->optimizer->power2};
}

static const char *part_name(char text[NAME], const char *name, size_t part, const char *end)
{
    snprintf(text, NAME, "%s.%zu%s", name, part, end);
    return text;
}

static bool complain(sentence *s, const char *what, const char *name, const char *why)
{
    snprintf(s->text, sizeof s->text, "%s %s: %s", what, name, why);
    return false;
}

/* ---- Saving ---- */

typedef struct piece {
    const void *data;
    size_t bytes;
} piece;

static bool write_file(const char *name, const piece *pieces, size_t n, sentence *s)
{
    FILE *file = fopen(name, "wb");
    bool well = file;
    for (size_t i = 0; well && i < n; i++)
        well = fwrite(pieces[i].data, 1, pieces[i].bytes, file) == pieces[i].bytes;
    if (file)
        well = (fclose(file) == 0) & well;
    return well || complain(s, "cannot write", name, strerror(errno));
}

/* What this rank's averages keep. */
static bool write_part(const gpt_checkpoint *c, const char *name, sentence *s)
{
    const uint64_t bytes = dist_data_parallel_state_bytes(c->averages);
    void *state = malloc(bytes ? bytes : 1);
    bool well = state;
    if (!state)
        complain(s, "cannot write", name, "not enough memory");
    else if (dist_data_parallel_state_save(c->averages, state, bytes) < 0)
        well = complain(s, "cannot write", name, dist_last_error());
    else
        well = write_file(name, &(piece){state, bytes}, 1, s);
    free(state);
    return well;
}

static bool write_common(const gpt_checkpoint *c, const char *name, size_t steps, size_t parts, sentence *s)
{
    const head h = head_of(c, steps, parts);
    const size_t bytes = c->model->weights_count * sizeof(float);
    const piece pieces[] = {{&h, sizeof h},
                            {c->model->weights, bytes},
                            {c->optimizer->first, bytes},
                            {c->optimizer->second, bytes}};
    return write_file(name, pieces, sizeof pieces / sizeof *pieces, s);
}

static bool move(const char *from, const char *to, sentence *s)
{
    return rename(from, to) == 0 || complain(s, "cannot replace", to, strerror(errno));
}

bool gpt_checkpoint_save(const gpt_checkpoint *c, const char *name, size_t steps)
{
    const size_t rank = (size_t)dist_rank(c->context);
    const bool kept = dist_data_parallel_state_bytes(c->averages) > 0, first = rank == 0;
    const size_t parts = kept ? (size_t)dist_ranks(c->context) : 0;
    char part[NAME], new_part[NAME], new_name[NAME];
    sentence s = {{0}};
    bool well = true;
    part_name(part, name, rank, "");
    part_name(new_part, name, rank, ".new");
    snprintf(new_name, sizeof new_name, "%s.new", name);
    if (kept)
        well = write_part(c, new_part, &s);
    if (first && well)
        well = write_common(c, new_name, steps, parts, &s);
    if (!gpt_all_agree(c->context, well, s.text))
        return false;
    if (kept)
        well = move(new_part, part, &s);
    if (first && well)
        well = move(new_name, name, &s);
    return gpt_all_agree(c->context, well, s.text);
}

/* ---- Loading ---- */

static bool check_head(const gpt_checkpoint *c, const head *h, const char *name, sentence *s)
{
    const head own = head_of(c, h->steps, h->parts);
    if (h->magic != MAGIC)
        return complain(s, "cannot load", name, "no checkpoint of train_gpt on a machine like this one");
    if (memcmp(&own.layers, &h->layers, offsetof(head, steps) - offsetof(head, layers)) != 0)
        snprintf(s->text, sizeof s->text,
                 "cannot load %s: it has %" PRIu64 " layers, %" PRIu64 " heads, width %" PRIu64
                 " and context %" PRIu64 "%s; give the same options",
                 name, h->layers, h->heads, h->width, h->context, h->untied ? ", untied" : "");
    else if (h->steps >= c->options->steps)
        snprintf(s->text, sizeof s->text,
                 "cannot load %s: it has done %" PRIu64 " steps, and --steps %zu counts these too", name,
                 h->steps, c->options->steps);
    else if (h->parts > INT32_MAX)
        return complain(s, "cannot load", name, "it is damaged");
    else
        return true;
    return false;
}

/* The first rank's own memory; the others get it from there. */
static bool read_common(const gpt_checkpoint *c, const char *name, head *h, sentence *s)
{
    FILE *file = fopen(name, "rb");
    const size_t n = c->model->weights_count;
    if (!file)
        return complain(s, "cannot load", name, strerror(errno));
    bool well = fread(h, sizeof *h, 1, file) == 1;
    if (!well) {
        complain(s, "cannot load", name, "it is too short");
    } else if ((well = check_head(c, h, name, s))) {
        well = fread(c->model->weights, sizeof(float), n, file) == n &&
               fread(c->optimizer->first, sizeof(float), n, file) == n &&
               fread(c->optimizer->second, sizeof(float), n, file) == n && fgetc(file) == EOF;
        if (!well)
            complain(s, "cannot load", name, "it is truncated, or has more than was saved");
    }
    fclose(file);
    return well;
}

static dist_status share_common(const gpt_checkpoint *c, head *h)
{
    double numbers[] = {(double)h->steps, (double)h->parts, h->power1, h->power2};
    float *const vectors[] = {c->model->weights, c->optimizer->first, c->optimizer->second};
    dist_status status = dist_broadcast(c->context, numbers, 4, DIST_FLOAT64, 0, NULL);
    for (int v = 0; v < 3 && status == DIST_OK; v++)
        status = dist_broadcast(c->context, vectors[v], c->model->weights_count, DIST_FLOAT32, 0, NULL);
    h->parts = (uint64_t)numbers[1];
    *c->done = (size_t)numbers[0];
    c->optimizer->power1 = numbers[2];
    c->optimizer->power2 = numbers[3];
    return status;
}

/* Which rank hands in which part: the one with its number, where there are fewer ranks counted round; where that one
 * cannot read it (sites share no files), the lowest that can. reader[] gets ranks, NOBODY where there is none. */
static dist_status choose_readers(const gpt_checkpoint *c, const char *name, size_t parts, double *reader)
{
    const size_t rank = (size_t)dist_rank(c->context), ranks = (size_t)dist_ranks(c->context);
    char text[NAME];
    for (size_t part = 0; part < parts; part++) {
        FILE *file = fopen(part_name(text, name, part, ""), "rb");
        const double wish = part % ranks == rank ? -1 : (double)rank;
        reader[part] = file ? wish : NOBODY;
        if (file)
            fclose(file);
    }
    const dist_status status = dist_reduce_scalars(c->context, reader, parts, DIST_MIN);
    for (size_t part = 0; part < parts; part++)
        reader[part] = reader[part] < 0 ? (double)(part % ranks) : reader[part];
    return status;
}

/* The parts that this rank hands in. */
typedef struct hand {
    void **part;
    uint64_t *bytes;
    int parts;
} hand;

static bool read_part(const char *name, void **data, uint64_t *bytes, sentence *s)
{
    FILE *file = fopen(name, "rb");
    long size = -1;
    if (file && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0 && (*data = malloc((size_t)size + 1)) != NULL)
        *bytes = fread(*data, 1, (size_t)size, file);
    const bool well = *data && *bytes == (uint64_t)size;
    if (file)
        fclose(file);
    return well || complain(s, "cannot read", name, strerror(errno));
}

static bool read_parts(const gpt_checkpoint *c, const char *name, size_t parts, const double *reader,
                       hand *mine, sentence *s)
{
    char text[NAME];
    mine->part = calloc(parts, sizeof *mine->part);
    mine->bytes = calloc(parts, sizeof *mine->bytes);
    if (!mine->part || !mine->bytes)
        return complain(s, "cannot load", name, "not enough memory");
    for (size_t part = 0; part < parts; part++) {
        part_name(text, name, part, "");
        if (reader[part] == NOBODY)
            return complain(s, "cannot load", text, "no rank can read it");
        if ((int)reader[part] != dist_rank(c->context))
            continue;
        const int at = mine->parts++;
        if (!read_part(text, &mine->part[at], &mine->bytes[at], s))
            return false;
    }
    return true;
}

static void put_down(hand *mine)
{
    for (int i = 0; mine->part && i < mine->parts; i++)
        free(mine->part[i]);
    free(mine->part);
    free(mine->bytes);
}

/* A failure of libdist that all ranks know of; the first prints it. */
static bool all_well(const gpt_checkpoint *c, dist_status status)
{
    return gpt_all_agree(c->context, status == DIST_OK, dist_last_error());
}

static bool load_parts(const gpt_checkpoint *c, const char *name, size_t parts)
{
    hand mine = {0};
    sentence s = {{0}};
    double *reader = malloc(parts * sizeof *reader);
    bool well = gpt_all_agree(c->context, reader, "not enough memory to load what the ranks kept") &&
                all_well(c, choose_readers(c, name, parts, reader));
    if (well) {
        well = read_parts(c, name, parts, reader, &mine, &s);
        well = gpt_all_agree(c->context, well, s.text);
    }
    if (well) {
        const dist_status status = dist_data_parallel_state_load(c->averages, (const void *const *)mine.part,
                                                                 mine.bytes, mine.parts);
        snprintf(s.text, sizeof s.text, "cannot load %s.*: %s", name, status < 0 ? dist_last_error() : "");
        well = gpt_all_agree(c->context, status == DIST_OK, s.text);
    }
    put_down(&mine);
    free(reader);
    return well;
}

bool gpt_checkpoint_load(const gpt_checkpoint *c, const char *name)
{
    head h = {0};
    sentence s = {{0}};
    const bool well = dist_rank(c->context) != 0 || read_common(c, name, &h, &s);
    if (!gpt_all_agree(c->context, well, s.text) || !all_well(c, share_common(c, &h)))
        return false;
    return h.parts == 0 || load_parts(c, name, h.parts);
}
