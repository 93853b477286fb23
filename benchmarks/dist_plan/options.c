/* The command line of dist_plan. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

const char plan_help[] =
    "usage: dist_plan pipeline --schedule NAME --stages P --microbatches M [flags]\n"
    "       dist_plan all-reduce|all-to-all|send-recv --ranks R [--sites S] [flags]\n"
    "Makes the plans of all ranks, proves them, predicts their run on the links described, and draws it. "
    "Needs neither\n"
    "mpirun nor the machines. No unit is imposed: times come out in the unit in which they went in, and "
    "bandwidths\n"
    "are bytes in that unit of time.\n"
    "\n"
    "pipeline\n"
    "  --schedule NAME      gpipe, 1f1b, eager1f1b[:cap=D], interleaved:v=V, zb-h1, zb-h2, zb-v, v-half, "
    "v-min,\n"
    "                       dualpipev, wan-1f1b, wan-zb, auto, or file:PATH, as --write has written it "
    "(auto)\n"
    "  --stages P           ranks in a row; interleaved and V-shaped schedules put several stages on each\n"
    "  --microbatches M     of one step\n"
    "  --times F,B,W        forward, backward of the input, backward of the weights, of one microbatch on a "
    "rank, all\n"
    "                       its stages together: one for all, or P of them separated by ';', or a FILE with "
    "one a\n"
    "                       line (1,1,1)\n"
    "  --layers FILE        instead: the layers, one a line, F,B,W and memory; split over the stages so that "
    "the\n"
    "                       slowest is as fast as can be\n"
    "  --layer-memory N     most memory of the layers of one stage, in the unit of the file\n"
    "  --latency C          one way between neighbours: one number for all, or P-1 separated by commas (0)\n"
    "  --bandwidth R        of each edge in each direction; K, M, G decimal (0: infinite)\n"
    "  --boundary BYTES     that a stage hands to the next for a microbatch; K, M, G binary; a message has "
    "64 more (0)\n"
    "  --stash BYTES        that the program keeps for a microbatch on a rank (0)\n"
    "  --memory N           most microbatches that a rank may hold (0: no limit)\n"
    "  --memory-bytes BYTES most bytes of stashes and boundary buffers on a rank, for --verify (0: no "
    "limit)\n"
    "  --write FILE         the schedule as text\n"
    "\n"
    "all-reduce, all-to-all, send-recv (each rank sends to the next and receives from the one before)\n"
    "  --sites S            sites (1)\n"
    "  --ranks R            ranks of each site, or of site 0, 1, ... separated by commas\n"
    "  --algo NAME          auto, mpi, ring, halving, doubling, hier, hier:shots=1, hier:shots=2 (auto)\n"
    "  --codec NAME         between sites (none)\n"
    "  --cuda               of device memory, through pinned host memory\n"
    "  --nccl               and inside a site through NCCL\n"
    "  --size BYTES         of the vector, of a block of an all-to-all, of what a rank sends; K, M, G binary "
    "(16M)\n"
    "  --type TYPE          float32, float16, bfloat16, float64, int32, int64 (float32)\n"
    "  --latency C          one way between sites (50e-6)\n"
    "  --bandwidth R        from each site to each other; K, M, G decimal; 0: infinite (125M)\n"
    "  --inside-latency C, --inside-bandwidth R    of each rank inside its site (1e-6, 5G)\n"
    "  --copy-rate R, --reduce-rate R, --codec-rate R    bytes of copies, reductions and values that codecs "
    "read or\n"
    "                       write in a unit of time, on one rank (0: they take no time)\n"
    "\n"
    "output\n"
    "  --predict            a table, a line a rank, and the bound; this is what happens without any of these "
    "flags\n"
    "  --verify             proves: no deadlock without buffers, no races, nothing lost or done twice, "
    "memory\n"
    "  --print              the plans, op by op\n"
    "  --json FILE          the prediction; with --ops also all ops with their times\n"
    "  --svg FILE           the prediction as a diagram: ranks down, time across\n"
    "Columns: begin and end of the first and last call of a rank, or op in a collective; busy: at work, "
    "bubble: the rest of\n"
    "the makespan; peak: microbatches held at once, and bytes of buffers and stashes.\n"
    "Exit status: 0 fine, 1 the plans do not verify, 2 usage, 4 no memory or a file that cannot be "
    "written.\n";

int plan_complain(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("dist_plan: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return code;
}

int plan_refused(dist_status status)
{
    return plan_complain(status == DIST_ERR_MEMORY || status == DIST_ERR_SYSTEM ? PLAN_FAILED : PLAN_USAGE,
                         "%s", dist_last_error());
}

typedef enum value_kind { YES, TEXT, COUNT, NUMBER, RATE, BYTES, TYPE, TIMES, NUMBERS } value_kind;

static const char *const takes[] = {
    [YES] = "no value",
    [TEXT] = "a text",
    [COUNT] = "a whole number from 1 to 10000000",
    [NUMBER] = "a number that is finite and at least 0",
    [RATE] = "a number that is finite and at least 0 (K, M or G may follow)",
    [BYTES] = "a size in bytes (K, M or G may follow)",
    [TYPE] = "float32, float16, bfloat16, float64, int32 or int64",
    [TIMES] = "three numbers F,B,W that are finite and at least 0, one set or one a stage separated by ';', "
              "or a file "
              "with one set a line",
    [NUMBERS] = "numbers that are finite and at least 0, separated by commas",
};

enum { PIPELINE = 1, COLLECTIVE = 2, BOTH = 3 };

#define AT(field) offsetof(plan_options, field)
static const struct flag {
    const char *name;
    int commands;
    value_kind kind;
    size_t at;
} flags[] = {
    {"--schedule", PIPELINE, TEXT, AT(schedule)},
    {"--stages", PIPELINE, COUNT, AT(stages)},
    {"--microbatches", PIPELINE, COUNT, AT(microbatches)},
    {"--times", PIPELINE, TIMES, AT(times)},
    {"--layers", PIPELINE, TEXT, AT(layers)},
    {"--layer-memory", PIPELINE, NUMBER, AT(layer_memory)},
    {"--boundary", PIPELINE, BYTES, AT(boundary)},
    {"--stash", PIPELINE, BYTES, AT(stash)},
    {"--memory", PIPELINE, NUMBER, AT(memory)},
    {"--memory-bytes", PIPELINE, BYTES, AT(memory_bytes)},
    {"--write", PIPELINE, TEXT, AT(write)},
    {"--sites", COLLECTIVE, COUNT, AT(sites)},
    {"--ranks", COLLECTIVE, TEXT, AT(ranks)},
    {"--algo", COLLECTIVE, TEXT, AT(algo)},
    {"--codec", COLLECTIVE, TEXT, AT(codec)},
    {"--cuda", COLLECTIVE, YES, AT(cuda)},
    {"--nccl", COLLECTIVE, YES, AT(nccl)},
    {"--size", COLLECTIVE, BYTES, AT(bytes)},
    {"--type", COLLECTIVE, TYPE, AT(type)},
    {"--inside-latency", COLLECTIVE, NUMBER, AT(inside_latency)},
    {"--inside-bandwidth", COLLECTIVE, RATE, AT(inside_bandwidth)},
    {"--copy-rate", COLLECTIVE, RATE, AT(copy_rate)},
    {"--reduce-rate", COLLECTIVE, RATE, AT(reduce_rate)},
    {"--codec-rate", COLLECTIVE, RATE, AT(codec_rate)},
    {"--latency", BOTH, NUMBERS, AT(latency)},
    {"--bandwidth", BOTH, RATE, AT(bandwidth)},
    {"--verify", BOTH, YES, AT(verify)},
    {"--predict", BOTH, YES, AT(predict)},
    {"--print", BOTH, YES, AT(print)},
    {"--ops", BOTH, YES, AT(ops)},
    {"--svg", BOTH, TEXT, AT(svg)},
    {"--json", BOTH, TEXT, AT(json)},
};

static bool read_count(const char *text, int *count)
{
    char *end;
    const long value = strtol(text, &end, 10);
    *count = (int)value;
    return end != text && *end == '\0' && value >= 1 && value <= 10000000;
}

static bool read_bytes(const char *text, uint64_t *bytes)
{
    double value;
    if (!plan_read_number(text, 1024, &value) || value > 1e18)
        return false;
    *bytes = (uint64_t)value;
    return true;
}

static bool read_type(const char *text, dist_type *type)
{
    for (int t = 0; t < DIST_TYPES; t++)
        if (strcmp(text, dist_type_name((dist_type)t)) == 0) {
            *type = (dist_type)t;
            return true;
        }
    return false;
}

static bool read_value(value_kind kind, const char *text, void *place)
{
    switch (kind) {
    case YES:
        return *(bool *)place = true;
    case TEXT:
        return (*(const char **)place = text) != NULL;
    case COUNT:
        return read_count(text, place);
    case NUMBER:
        return plan_read_number(text, 0, place);
    case RATE:
        return plan_read_number(text, 1000, place);
    case BYTES:
        return read_bytes(text, place);
    case TYPE:
        return read_type(text, place);
    case TIMES:
        return plan_read_times(text, place);
    default:
        return plan_read_numbers(text, place);
    }
}

static const struct flag *find_flag(const char *name, int command)
{
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
        if (strcmp(flags[f].name, name) == 0 && flags[f].commands & command)
            return &flags[f];
    return NULL;
}

static int check_pipeline(const plan_options *o)
{
    const bool from_file = o->schedule && strncmp(o->schedule, "file:", 5) == 0;
    if (!from_file && (!o->stages || !o->microbatches))
        return plan_complain(
            PLAN_USAGE, "a pipeline needs --stages and --microbatches; dist_plan --help lists the flags");
    if (o->layers && o->times.count)
        return plan_complain(PLAN_USAGE, "--times and --layers both say what stages take; give one of them");
    if (o->layer_memory > 0 && !o->layers)
        return plan_complain(PLAN_USAGE,
                             "--layer-memory limits the layers that --layers lists; give --layers too");
    return PLAN_FINE;
}

static int check_collective(const plan_options *o)
{
    if (!o->ranks)
        return plan_complain(PLAN_USAGE, "%s needs --ranks; dist_plan --help lists the flags", o->command);
    if (o->latency.count > 1)
        return plan_complain(PLAN_USAGE, "--latency takes one number, that between sites, not %d",
                             o->latency.count);
    if (o->bytes % dist_type_bytes(o->type) != 0)
        return plan_complain(PLAN_USAGE, "--size %llu is no multiple of the %zu bytes of a %s",
                             (unsigned long long)o->bytes, dist_type_bytes(o->type), dist_type_name(o->type));
    return PLAN_FINE;
}

int plan_options_read(plan_options *o, const char *command, int argc, char **argv)
{
    const bool pipeline = strcmp(command, "pipeline") == 0;
    const dist_plan_request defaults = DIST_PLAN_REQUEST_INIT;
    *o = (plan_options){.command = command,
                        .bytes = 16 << 20,
                        .type = DIST_FLOAT32,
                        .inside_latency = defaults.inside.latency,
                        .inside_bandwidth = defaults.inside.bandwidth,
                        .bandwidth = -1};
    for (int i = 0; i < argc; i++) {
        const struct flag *flag = find_flag(argv[i], pipeline ? PIPELINE : COLLECTIVE);
        if (!flag)
            return plan_complain(PLAN_USAGE, "'%s' is no flag of %s; dist_plan --help lists them", argv[i],
                                 command);
        const char *value = flag->kind == YES ? "" : argv[++i];
        if (!value)
            return plan_complain(PLAN_USAGE, "%s needs a value: %s", flag->name, takes[flag->kind]);
        if (!read_value(flag->kind, value, (char *)o + flag->at))
            return plan_complain(PLAN_USAGE, "%s takes %s, not '%s'", flag->name, takes[flag->kind], value);
    }
    if (o->ops && !o->json)
        return plan_complain(PLAN_USAGE, "--ops adds the ops to the JSON; give --json FILE too");
    if (!o->verify && !o->print && !o->svg && !o->json && !o->write)
        o->predict = true;
    return pipeline ? check_pipeline(o) : check_collective(o);
}

void plan_options_end(plan_options *options)
{
    free(options->times.value);
    free(options->latency.value);
}
