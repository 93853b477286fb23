#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "data.h"

typedef enum kind { COUNT, BYTES, REAL, TEXT, FLAG } kind;

struct row {
    const char *name, *value;
    kind kind;
    size_t offset; /* of the field */
    size_t least, most;
    const char *help;
};

#define FIELD(name) offsetof(gpt_options, name)

static const struct row table[] = {
    {"data", "PATH", TEXT, FIELD(data), 0, 0,
     "text to train on, byte by byte: a file, or a folder whose files are\n"
     "read in the order of their names (default " GPT_DEFAULT_DATA ")"},
    {"layers", "N", COUNT, FIELD(layers), 1, 1024, "transformer blocks (default 4)"},
    {"heads", "N", COUNT, FIELD(heads), 1, 1024, "attention heads; divides --width (default 4)"},
    {"width", "N", COUNT, FIELD(width), 1, 16384, "channels of the residual stream (default 256)"},
    {"context", "N", COUNT, FIELD(context), 1, 16384, "bytes of a sequence (default 128)"},
    {"batch", "N", COUNT, FIELD(batch), 1, 1 << 20,
     "sequences of a step on all ranks together; ranks times --accumulate\n"
     "divides it (default 16)"},
    {"accumulate", "K", COUNT, FIELD(accumulate), 1, 1 << 20,
     "backward passes of a rank before gradients are averaged (default 1)"},
    {"steps", "N", COUNT, FIELD(steps), 1, 1 << 30, "optimizer steps (default 40)"},
    {"seed", "N", COUNT, FIELD(seed), 0, (size_t)1 << 40,
     "chooses the first weights and the sequences of each step (default 1)"},
    {"lr", "X", REAL, FIELD(learning_rate), 0, 10, "AdamW's learning rate (default 0.001)"},
    {"warmup", "N", COUNT, FIELD(warmup), 0, 1 << 30,
     "steps over which the learning rate rises to --lr (default 10)"},
    {"decay", "X", REAL, FIELD(decay), 0, 1,
     "share of --lr to which it falls by the last step, along a cosine\n(default 1: it stays)"},
    {"weight-decay", "X", REAL, FIELD(weight_decay), 0, 10, "on matrices only (default 0.1)"},
    {"untied", NULL, FLAG, FIELD(untied), 0, 0,
     "give the head weights of its own instead of the token embedding's"},
    {"algo", "NAME", TEXT, FIELD(algo), 0, 0,
     "all-reduce: auto, mpi, ring, halving, doubling, hier (default: DIST_ALGO,\nelse auto)"},
    {"codec", "NAME", TEXT, FIELD(codec), 0, 0,
     "between sites: none, bf16, int8, int4, topk:density=0.01, ... (default:\nDIST_CODEC, else none)"},
    {"bucket", "BYTES", BYTES, FIELD(bucket), 1, (size_t)1 << 40,
     "gradients that travel together; K, M or G may follow (default: the\nlibrary's)"},
    {"mesh", "TEXT", TEXT, FIELD(mesh), 0, 0,
     "blocks on stages, pipeline-parallel: pp:2,dp:2, the outer axis first; pp:2\n"
     "alone leaves the order to the library. Needs --untied"},
    {"schedule", "NAME", TEXT, FIELD(schedule), 0, 0,
     "of the pipeline: gpipe, 1f1b, zb-h1, wan-1f1b, ... (default: DIST_SCHEDULE,\nelse auto)"},
    {"microbatches", "M", COUNT, FIELD(microbatches), 1, 1 << 20,
     "of a pipeline in a step; replicas times this divides --batch (default:\ntwice the ranks of a "
     "pipeline)"},
    {"boundary-codec", "NAME", TEXT, FIELD(boundary_codec), 0, 0,
     "of activations between sites (default none)"},
    {"validate", "N", COUNT, FIELD(validate), 1, 1 << 30,
     "hold out the last tenth of the text and print its loss every N steps"},
    {"save", "FILE", TEXT, FIELD(save), 0, 0,
     "at the end write a checkpoint: FILE, and FILE.0, FILE.1, ... by the ranks"},
    {"load", "FILE", TEXT, FIELD(load), 0, 0,
     "go on from a checkpoint, on as many ranks and sites or on others;\n--steps counts its steps too"},
    {"report", "FILE", TEXT, FIELD(report), 0, 0, "write what was measured as JSON"},
    {"trace", "FILE", TEXT, FIELD(trace), 0, 0,
     "write a trace of all ranks for chrome://tracing or ui.perfetto.dev"},
    {"dump-gradients", "FILE", TEXT, FIELD(dump_gradients), 0, 0,
     "write rank 0's gradients of one step, before they are averaged: float32,\n"
     "little endian, all parameters in order. dist_perf codec reads them"},
    {"dump-step", "N", COUNT, FIELD(dump_step), 1, 1 << 30, "which step that is, from 1 (default 20)"},
    {"progress", "HOW", TEXT, FIELD(progress), 0, 0,
     "line: one line that is rewritten; lines: now and then a new line;\n"
     "auto (default): line on a terminal. mpirun hides whether it writes to\none: then auto is lines"},
    {"quiet", NULL, FLAG, FIELD(quiet), 0, 0, "print nothing but errors"},
    {"help", NULL, FLAG, FIELD(help), 0, 0, "print this"},
};

enum { ROWS = sizeof table / sizeof *table };

/* Where a sentence on what went wrong goes. */
struct complaint {
    char *text;
    size_t size;
};

static const struct row *find_row(const char *name, size_t length)
{
    for (size_t i = 0; i < ROWS; i++)
        if (strlen(table[i].name) == length && memcmp(table[i].name, name, length) == 0)
            return &table[i];
    return NULL;
}

/* The factor of a suffix; 0 when it is none. */
static size_t unit(const char *suffix)
{
    static const char letters[] = "KMG";
    if (*suffix == '\0')
        return 1;
    const char *letter = strchr(letters, *suffix);
    return letter && suffix[1] == '\0' ? (size_t)1024 << (10 * (letter - letters)) : 0;
}

static bool read_count(const struct row *row, const char *value, size_t *field, struct complaint complaint)
{
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(value, &end, 10);
    const size_t factor = row->kind == BYTES ? unit(end) : (size_t)(*end == '\0');
    const size_t most = row->most;
    if (*value < '0' || *value > '9' || errno || factor == 0 || number > most / factor ||
        number * factor < row->least) {
        snprintf(complaint.text, complaint.size, "--%s takes a whole number from %zu to %zu%s, not \"%s\"",
                 row->name, row->least, most, row->kind == BYTES ? " (K, M or G may follow)" : "", value);
        return false;
    }
    *field = (size_t)number * factor;
    return true;
}

static bool read_real(const struct row *row, const char *value, double *field, struct complaint complaint)
{
    char *end;
    const double number = strtod(value, &end);
    if (end == value || *end != '\0' || !isfinite(number) || number < (double)row->least ||
        number > (double)row->most) {
        snprintf(complaint.text, complaint.size, "--%s takes a number from %zu to %zu, not \"%s\"", row->name,
                 row->least, row->most, value);
        return false;
    }
    *field = number;
    return true;
}

static bool read_value(const struct row *row, const char *value, gpt_options *options,
                       struct complaint complaint)
{
    void *field = (char *)options + row->offset;
    switch (row->kind) {
    case COUNT:
    case BYTES:
        return read_count(row, value, field, complaint);
    case REAL:
        return read_real(row, value, field, complaint);
    case TEXT:
        *(const char **)field = value;
        break;
    case FLAG:
        *(bool *)field = true;
        break;
    }
    return true;
}

/* One option, with its value in the same argument (--name=value) or the next. Moves *i past it. */
static bool read_option(int argc, char **argv, int *i, gpt_options *options, struct complaint complaint)
{
    const char *argument = argv[(*i)++];
    const char *name = argument + 2, *equals = strchr(argument, '=');
    const struct row *row = NULL;
    if (strncmp(argument, "--", 2) == 0)
        row = find_row(name, equals ? (size_t)(equals - name) : strlen(name));
    if (!row) {
        snprintf(complaint.text, complaint.size, "unknown option \"%s\"; --help lists them", argument);
        return false;
    }
    if (row->kind == FLAG) {
        if (equals)
            snprintf(complaint.text, complaint.size, "--%s takes no value", row->name);
        return !equals && read_value(row, NULL, options, complaint);
    }
    if (!equals && *i == argc) {
        snprintf(complaint.text, complaint.size, "--%s needs a value (%s)", row->name, row->value);
        return false;
    }
    return read_value(row, equals ? equals + 1 : argv[(*i)++], options, complaint);
}

/* The ranks of a pipeline; 0 when the mesh does not say. */
static size_t positions_of(const char *mesh)
{
    const char *axis = strstr(mesh, "pp:");
    const long count = axis ? strtol(axis + 3, NULL, 10) : 0;
    return count > 0 && count <= 1 << 20 ? (size_t)count : 0;
}

static bool check_mesh(gpt_options *options, struct complaint complaint)
{
    const char *with = options->accumulate > 1   ? "--accumulate"
                       : options->save           ? "--save"
                       : options->load           ? "--load"
                       : options->dump_gradients ? "--dump-gradients"
                                                 : NULL;
    options->positions = positions_of(options->mesh);
    if (options->positions == 0)
        snprintf(complaint.text, complaint.size, "--mesh %s: write pp:2,dp:2, dp:2,pp:2 or pp:2",
                 options->mesh);
    else if (with)
        snprintf(complaint.text, complaint.size, "%s does not go with --mesh yet", with);
    else if (!options->untied && options->positions > 1)
        snprintf(complaint.text, complaint.size,
                 "--mesh needs --untied: the token embedding is on the first stage, the head on the last");
    else
        return true;
    return false;
}

static bool check(gpt_options *options, struct complaint complaint)
{
    const char *how = options->progress;
    if (options->width % options->heads != 0) {
        snprintf(complaint.text, complaint.size, "--heads %zu does not divide --width %zu", options->heads,
                 options->width);
        return false;
    }
    if (options->dump_gradients && options->dump_step > options->steps) {
        snprintf(complaint.text, complaint.size,
                 "--dump-step %zu never comes with --steps %zu; dump an earlier step", options->dump_step,
                 options->steps);
        return false;
    }
    if (strcmp(how, "auto") != 0 && strcmp(how, "line") != 0 && strcmp(how, "lines") != 0) {
        snprintf(complaint.text, complaint.size, "--progress takes auto, line or lines, not \"%s\"", how);
        return false;
    }
    if (options->mesh && !check_mesh(options, complaint))
        return false;
    if (options->mesh && options->microbatches == 0)
        options->microbatches = 2 * options->positions;
    return true;
}

bool gpt_options_parse(gpt_options *options, int argc, char **argv, char *sentence, size_t sentence_size)
{
    const struct complaint complaint = {sentence, sentence_size};
    *options = (gpt_options){.data = GPT_DEFAULT_DATA,
                             .layers = 4,
                             .heads = 4,
                             .width = 256,
                             .context = 128,
                             .batch = 16,
                             .accumulate = 1,
                             .steps = 40,
                             .seed = 1,
                             .learning_rate = 1e-3,
                             .warmup = 10,
                             .decay = 1,
                             .weight_decay = 0.1,
                             .dump_step = 20,
                             .progress = "auto"};
    for (int i = 1; i < argc;)
        if (!read_option(argc, argv, &i, options, complaint))
            return false;
    return check(options, complaint);
}

void gpt_options_help(FILE *file)
{
    enum { COLUMN = 22 };
    fputs("Usage: [mpirun ...] " GPT_PROGRAM " [options]\n\n"
          "Trains a small GPT on bytes of text, data-parallel on all ranks of the job. The steps are\n"
          "the same for any number of ranks, but for rounding. After each step the ranks compare a\n"
          "hash of all weights.\n\n",
          file);
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &table[i];
        const int used = fprintf(file, "  --%s %s", row->name, row->value ? row->value : "");
        fprintf(file, "%*s", used < COLUMN ? COLUMN - used : 1, "");
        for (const char *c = row->help; *c; c++) {
            fputc(*c, file);
            if (*c == '\n')
                fprintf(file, "%*s", COLUMN, "");
        }
        fputc('\n', file);
    }
    fputs("\nExit codes: 0 done; 1 a failure while training; 2 bad options or data.\n", file);
}
