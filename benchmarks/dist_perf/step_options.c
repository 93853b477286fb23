/* The flags of dist_perf step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "step.h"

static const char help[] =
    "usage: mpirun ... dist_perf step --params N --compute-ms T [flags]\n"
    "What a training step will cost on these links: measures them, predicts the step, then replays it with "
    "the "
    "library\n"
    "and waits instead of compute.\n"
    "  --params N         parameters of the model; K, M, G decimal (1.5G)\n"
    "  --compute-ms T     compute of a step on one rank: forward a third, backward two thirds\n"
    "  --type T           of gradients: float32, float16, bfloat16, float64 (float32)\n"
    "  --tensors N        that the parameters are in (48)        --bucket BYTES   K, M, G binary (the "
    "library's)\n"
    "  --codec NAME       of gradients between sites (none)      --algo NAME      of averages (auto)\n"
    "  --accumulate N     rounds of forward and backward in a step, of which the last averages (1)\n"
    "  --mesh TEXT        pp:P,dp:D or dp:D,pp:P: a pipeline, each of whose ranks holds 1/P of the "
    "parameters\n"
    "  --schedule NAME    as dist_pipeline_options.schedule (auto)\n"
    "  --microbatches M   of a pipeline's step (8)               --boundary BYTES between stages, of one "
    "(1M)\n"
    "  --steps N -w N     replayed, and before them (10, 2)       -T SECONDS       deadline of every wait "
    "(60)\n"
    "  -J FILE            write JSON too                         --csv FILE       and CSV\n"
    "  --svg FILE         draw the step on rank 0 as predicted and as replayed\n"
    "Rows: predicted from the measurement, replayed (the median over steps of the slowest rank), and the "
    "error "
    "of the\n"
    "prediction. exposed: what of the step is not compute, in a pipeline its bubbles too; across: bytes that "
    "all "
    "ranks\n"
    "send to other sites in a step; utilisation: compute/step.\n"
    "Exit status: 0 fine, 2 usage, 4 a call failed.\n";

static int wrong(bool speak, const char *sentence, const char *detail)
{
    if (speak)
        fprintf(stderr, "dist_perf: step: %s%s; see dist_perf step --help\n", detail, sentence);
    return PERF_USAGE;
}

static bool read_type(const char *text, dist_type *type)
{
    return perf_read_type(text, type) && *type != DIST_INT32 && *type != DIST_INT64;
}

static bool read_text(const char *value, const char **text)
{
    *text = value;
    return value[0] != '\0';
}

static bool read_milliseconds(const char *text, double *seconds)
{
    const bool good = perf_read_number(text, 1000, seconds) && *seconds <= 3.6e6;
    *seconds *= 1e-3;
    return good;
}

static bool read_shape(step_options *o, const char *flag, const char *value)
{
    if (strcmp(flag, "--mesh") == 0)
        return read_text(value, &o->mesh);
    if (strcmp(flag, "--schedule") == 0)
        return read_text(value, &o->schedule);
    if (strcmp(flag, "--microbatches") == 0)
        return perf_read_count(value, 1, &o->microbatches) && o->microbatches <= 100000;
    if (strcmp(flag, "--boundary") == 0)
        return perf_read_bytes(value, &o->boundary) && o->boundary >= 4 && o->boundary < (size_t)1 << 31;
    if (strcmp(flag, "--accumulate") == 0)
        return perf_read_count(value, 1, &o->accumulate) && o->accumulate <= 100000;
    if (strcmp(flag, "--steps") == 0)
        return perf_read_count(value, 1, &o->steps) && o->steps <= 100000;
    return strcmp(flag, "-w") == 0 && perf_read_count(value, 0, &o->warmup) && o->warmup <= 100000;
}

static bool read_flag(step_options *o, const char *flag, const char *value)
{
    if (strcmp(flag, "--params") == 0)
        return perf_read_number(value, 1000, &o->params) && o->params >= 1 && o->params <= 1e15;
    if (strcmp(flag, "--compute-ms") == 0)
        return read_milliseconds(value, &o->compute);
    if (strcmp(flag, "--type") == 0 || strcmp(flag, "-d") == 0)
        return read_type(value, &o->type);
    if (strcmp(flag, "--tensors") == 0)
        return perf_read_count(value, 1, &o->tensors) && o->tensors <= 100000;
    if (strcmp(flag, "--bucket") == 0)
        return perf_read_bytes(value, &o->bucket) && o->bucket > 0;
    if (strcmp(flag, "--codec") == 0)
        return read_text(value, &o->codec);
    if (strcmp(flag, "--algo") == 0)
        return read_text(value, &o->algo);
    if (strcmp(flag, "-J") == 0)
        return read_text(value, &o->json);
    if (strcmp(flag, "--csv") == 0)
        return read_text(value, &o->csv);
    if (strcmp(flag, "--svg") == 0)
        return read_text(value, &o->svg);
    if (strcmp(flag, "-T") == 0)
        return perf_read_number(value, 1000, &o->timeout) && o->timeout > 0;
    return read_shape(o, flag, value);
}

/* One axis, pp:4 or dp:2; moves behind it. */
static bool read_axis(const char **text, int *pipeline, int *replicas)
{
    char *end;
    int *axis = strncmp(*text, "pp:", 3) == 0 ? pipeline : strncmp(*text, "dp:", 3) == 0 ? replicas : NULL;
    if (!axis || *axis || (*text)[3] < '1' || (*text)[3] > '9')
        return false;
    const long size = strtol(*text + 3, &end, 10);
    *axis = size < 1000000 ? (int)size : 1000000;
    *text = end;
    return true;
}

/* What the library will make of it; it takes the mesh itself where there is a pipeline. */
static bool read_mesh(step_options *o, int ranks)
{
    const char *text = o->mesh;
    int pipeline = 0, replicas = 0;
    o->positions = 1;
    o->replicas = ranks;
    if (!text)
        return true;
    if (!read_axis(&text, &pipeline, &replicas))
        return false;
    if (*text == ',' && !read_axis((text++, &text), &pipeline, &replicas))
        return false;
    o->positions = pipeline ? pipeline : ranks / replicas;
    o->replicas = replicas ? replicas : ranks / pipeline;
    return *text == '\0' && (long long)o->positions * o->replicas == ranks;
}

static int check(const step_options *o, bool speak)
{
    if (!(o->params >= 1))
        return wrong(speak, "--params is missing: how many parameters has the model?", "");
    if (!(o->compute >= 0))
        return wrong(speak, "--compute-ms is missing: how long does a rank compute in a step?", "");
    if (o->positions > 1 && o->accumulate > 1)
        return wrong(speak, "--accumulate is for data parallel; a pipeline adds up its --microbatches", "");
    if (o->positions > o->params)
        return wrong(speak, "there are more stages than parameters", "");
    if (strncmp(o->codec, "powersgd", 8) == 0)
        return wrong(speak, "codec powersgd goes by the shapes of matrices, which --params does not tell",
                     "");
    return -1;
}

int step_options_read(step_options *o, int argc, char **argv, int ranks, bool speak)
{
    *o = (step_options){.compute = -1,
                        .type = DIST_FLOAT32,
                        .algo = "auto",
                        .codec = "none",
                        .boundary = (size_t)1 << 20,
                        .tensors = 48,
                        .accumulate = 1,
                        .microbatches = 8,
                        .steps = 10,
                        .warmup = 2,
                        .timeout = 60};
    for (int i = 0; i < argc; i += 2) {
        char detail[256];
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            if (speak)
                fputs(help, stdout);
            return PERF_FINE;
        }
        if (i + 1 < argc && read_flag(o, argv[i], argv[i + 1]))
            continue;
        snprintf(detail, sizeof detail, "%s%s%s", argv[i], i + 1 < argc ? " " : "",
                 i + 1 < argc ? argv[i + 1] : "");
        return wrong(speak, ": unknown or wrong", detail);
    }
    o->params = floor(o->params);
    if (!read_mesh(o, ranks)) {
        char sentence[96];
        snprintf(sentence, sizeof sentence,
                 ": a mesh is pp:P,dp:D or dp:D,pp:P, and P times D must be the ranks, %d", ranks);
        return wrong(speak, sentence, o->mesh);
    }
    return check(o, speak);
}
