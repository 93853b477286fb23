/* Which algorithm: the one that was measured to be best, or else the one with the smallest predicted time, from the latency and
 * bandwidth of the links. */
#include <math.h>

#include "base/error.h"
#include "collective/collective.h"
#include "collective/tuning.h"

/* Until measured: shared memory inside a site; a long-distance network between sites. Arithmetic costs one
 * pass over memory. */
static const dist_link inside_default = {.latency = 1e-6, .bandwidth = 5e9};
static const dist_link across_default = {.latency = 50e-6, .bandwidth = 125e6};
#define ARITHMETIC 8e9 /* bytes a second of dst += src */
#define OP_COST    1e-6

typedef struct costs {
    dist_link inside, across;
    double n, sites, largest; /* ranks; sites; ranks of the largest site */
    double bytes;
    double ratio; /* encoded bytes / bytes between sites */
    bool team;    /* the team's wire adds up inside a site */
} costs;

/* The worst link of its kind that was measured; a site of one rank has none inside. */
static void note_link(dist_link *worst, const dist_link *link, bool *measured)
{
    if (!(link->bandwidth > 0))
        return;
    worst->latency = *measured ? fmax(worst->latency, link->latency) : link->latency;
    worst->bandwidth = *measured ? fmin(worst->bandwidth, link->bandwidth) : link->bandwidth;
    *measured = true;
}

static costs costs_of(const dist_spec *spec)
{
    const dist_topology *t = spec->topology;
    bool measured[2] = {false};
    costs c = {.inside = inside_default,
               .across = across_default,
               .n = t->ranks,
               .sites = t->sites,
               .ratio = 1,
               .team = spec->team};
    for (int s = 0; s < t->sites; s++)
        c.largest = fmax(c.largest, t->site[s].count);
    const dist_link *link = t->link ? t->link : t->probed;
    for (int a = 0; link && a < t->sites; a++)
        for (int b = 0; b < t->sites; b++)
            note_link(a == b ? &c.inside : &c.across, &link[a * t->sites + b], &measured[a == b]);
    c.bytes = (double)spec->count * (double)dist_type_bytes(spec->type);
    if (spec->kind == DIST_REDUCE_SCATTER || spec->kind == DIST_ALL_GATHER || spec->kind == DIST_ALL_TO_ALL)
        c.bytes *= c.n;
    if (spec->codec.kind != DIST_CODEC_NONE)
        c.ratio = (double)dist_codec_bytes(&spec->codec, 1 << 16) /
                  ((double)dist_type_bytes(spec->type) * (1 << 16));
    return c;
}

/* A flat algorithm: `rounds` messages one after the other, each rank sending `bytes`. Across sites the slow
 * link paces every round in which it is used, and the ranks of a site that use it at once share it. */
static double flat(const costs *c, double rounds, double slow_rounds, double bytes, double slow_bytes)
{
    double fast = (rounds - slow_rounds) * (c->inside.latency + OP_COST) + bytes / c->inside.bandwidth;
    double slow = slow_rounds * (c->across.latency + OP_COST) + slow_bytes / c->across.bandwidth;
    return fast + (c->sites > 1 ? slow : 0) + bytes / ARITHMETIC;
}

static double ring(const costs *c)
{
    double rounds = 2 * (c->n - 1), bytes = 2 * c->bytes * (c->n - 1) / c->n;
    return flat(c, rounds, c->sites > 1 ? rounds : 0, bytes, bytes);
}

static double halving(const costs *c)
{
    double rounds = 2 * ceil(log2(c->n)), slow = 2 * ceil(log2(c->sites));
    return flat(c, rounds, slow, 2 * c->bytes * (c->n - 1) / c->n, c->bytes * c->largest);
}

static double doubling(const costs *c)
{
    double rounds = ceil(log2(c->n)), slow = ceil(log2(c->sites));
    return flat(c, rounds, slow, rounds * c->bytes, slow * c->bytes * c->largest);
}

static double hier(const costs *c)
{
    double k = c->sites;
    if (c->team && c->sites == 1) /* each rank reads as many bytes as it writes, once */
        return c->inside.latency + c->bytes / ARITHMETIC;
    double exchanged = k <= 4 && c->ratio < 1 ? k - 1 : 2 * (k - 1) / k;
    double fast =
        2 * (c->inside.latency + 3 * OP_COST) + 2 * c->bytes / c->inside.bandwidth + c->bytes / ARITHMETIC;
    double slow = c->across.latency * (k > 4 ? 2 : 1) + 4 * OP_COST +
                  exchanged * c->ratio * c->bytes / c->across.bandwidth;
    return k > 1 ? slow + fast / 4 : fast; /* the stages overlap */
}

/* Open MPI without hints: rings and recursive doubling over a flat set of ranks, and one more call layer. */
static double mpi(const costs *c)
{
    return 1.1 * fmin(fmin(ring(c), halving(c)), doubling(c)) + OP_COST;
}

/* What the ranks of the largest site exchange with each other, and, over the link that they share, with all others. */
static double blocks_inside(const costs *c)
{
    const double blocks = c->largest - 1;
    return c->inside.latency + blocks * (OP_COST + c->bytes / c->n / c->inside.bandwidth);
}

static double blocks_across(const costs *c)
{
    const double blocks = c->n - c->largest;
    return c->across.latency + blocks * (OP_COST + c->largest * c->bytes / c->n / c->across.bandwidth);
}

/* Rounds inside a site and between sites follow each other. */
static double exchange_by_rounds(const costs *c)
{
    return blocks_inside(c) + (c->sites > 1 ? blocks_across(c) : 0);
}

static double exchange_hier(const costs *c)
{
    return c->sites > 1 ? fmax(blocks_inside(c), blocks_across(c)) : blocks_inside(c);
}

static double exchange_mpi(const costs *c)
{
    return 1.1 * exchange_by_rounds(c) + OP_COST;
}

static double send_recv(const costs *c)
{
    const dist_link *link = c->sites > 1 ? &c->across : &c->inside;
    return link->latency + OP_COST + c->bytes / link->bandwidth;
}

double dist_predicted(const dist_spec *spec, dist_algo_kind kind)
{
    static double (*const model[DIST_ALGOS])(const costs *) = {
        [DIST_ALGO_MPI] = mpi,           [DIST_ALGO_RING] = ring, [DIST_ALGO_HALVING] = halving,
        [DIST_ALGO_DOUBLING] = doubling, [DIST_ALGO_HIER] = hier,
    };
    static double (*const exchange[DIST_ALGOS])(const costs *) = {
        [DIST_ALGO_MPI] = exchange_mpi,           [DIST_ALGO_RING] = exchange_by_rounds,
        [DIST_ALGO_HALVING] = exchange_by_rounds, [DIST_ALGO_DOUBLING] = exchange_by_rounds,
        [DIST_ALGO_HIER] = exchange_hier,
    };
    costs c = costs_of(spec);
    if (!model[kind])
        return INFINITY;
    if (spec->kind == DIST_SEND_RECV)
        return send_recv(&c);
    return (spec->kind == DIST_ALL_TO_ALL ? exchange : model)[kind](&c);
}

/* The fastest by prediction of some, the first of equal ones. */
static dist_algo_kind fastest(const dist_spec *spec, dist_algo_kind found)
{
    for (int k = DIST_ALGO_MPI; k < DIST_ALGOS; k++)
        if (dist_predicted(spec, (dist_algo_kind)k) < dist_predicted(spec, found))
            found = (dist_algo_kind)k;
    return found;
}

static dist_algo_kind best(const dist_spec *spec)
{
    bool sites = spec->topology->sites > 1;
    if (spec->kind == DIST_ALL_TO_ALL) /* no wire of a team has it */
        return fastest(spec, DIST_ALGO_RING);
    if (spec->codec.kind != DIST_CODEC_NONE || (spec->team && !sites) ||
        (spec->team && spec->device && spec->kind == DIST_ALL_REDUCE))
        return DIST_ALGO_HIER;
    if (spec->kind == DIST_BARRIER)
        return DIST_ALGO_DOUBLING;
    if (spec->kind == DIST_BROADCAST)
        return sites ? DIST_ALGO_HIER : DIST_ALGO_HALVING;
    if (spec->kind != DIST_ALL_REDUCE)
        return sites ? DIST_ALGO_HIER : DIST_ALGO_RING;
    return fastest(spec, DIST_ALGO_DOUBLING);
}

dist_status dist_choose(dist_spec *spec)
{
    bool coded = spec->codec.kind != DIST_CODEC_NONE;
    if (spec->codec.kind == DIST_CODEC_POWERSGD)
        return dist_fail(DIST_ERR_UNSUPPORTED,
                         "codec '%s' needs the shapes of matrices, which a collective does not have; give it "
                         "to dist_data_parallel_create, and codec 'none' here",
                         spec->codec.text);
    if (coded && spec->type != DIST_FLOAT32 && spec->type != DIST_FLOAT16 && spec->type != DIST_BFLOAT16)
        return dist_fail(DIST_ERR_UNSUPPORTED,
                         "codec '%s' works on float32, float16 and bfloat16, not %s; use codec 'none'",
                         spec->codec.text, dist_type_name(spec->type));
    if (coded &&
        (spec->kind != DIST_ALL_REDUCE || spec->reduction == DIST_MIN || spec->reduction == DIST_MAX))
        return dist_fail(DIST_ERR_UNSUPPORTED,
                         "codec '%s' works in an all-reduce that sums or averages; use codec 'none'",
                         spec->codec.text);
    if (coded && spec->algo.kind != DIST_ALGO_HIER && spec->algo.kind != DIST_ALGO_AUTO)
        return dist_fail(DIST_ERR_UNSUPPORTED, "codec '%s' needs algorithm 'hier' or 'auto', not '%s'",
                         spec->codec.text, dist_algo_name(spec->algo.kind));
    if (spec->kind == DIST_SEND_RECV) /* there is one way */
        spec->algo = (dist_algo){.kind = DIST_ALGO_RING};
    if (spec->algo.kind == DIST_ALGO_AUTO && !dist_tuning_choice(spec, &spec->algo))
        spec->algo.kind = best(spec);
    return DIST_OK;
}

static void write_auto(const dist_spec *spec, FILE *file)
{
    static const char *const shots[] = {"", ":shots=1", ":shots=2"};
    dist_algo algo;
    if (dist_tuning_choice(spec, &algo))
        fprintf(file, "  %s%s (tuning file)\n", dist_algo_name(algo.kind), shots[algo.shots]);
    else
        fprintf(file, "  %s\n", dist_algo_name(best(spec)));
}

static void write_choices(const dist_spec *like, const dist_algo_kind *algo, size_t algos, FILE *file)
{
    static const uint64_t sizes[] = {8, 4096, 65536, 1 << 20, 16 << 20, 256 << 20};
    fprintf(file, "%12s", "bytes");
    for (size_t k = 0; k < algos; k++)
        fprintf(file, " %12s", dist_algo_name(algo[k]));
    fprintf(file, "  auto\n");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        dist_spec spec = *like;
        spec.count = sizes[i] / 4;
        fprintf(file, "%12llu", (unsigned long long)sizes[i]);
        for (size_t k = 0; k < algos; k++)
            fprintf(file, " %12.1f", 1e6 * dist_predicted(&spec, algo[k]));
        write_auto(&spec, file);
    }
}

void dist_choices_write(const dist_spec *like, FILE *file)
{
    static const dist_algo_kind reducing[] = {DIST_ALGO_MPI, DIST_ALGO_RING, DIST_ALGO_HALVING,
                                              DIST_ALGO_DOUBLING, DIST_ALGO_HIER},
                                exchanging[] = {DIST_ALGO_MPI, DIST_ALGO_RING, DIST_ALGO_HIER};
    dist_spec spec = {.kind = DIST_ALL_REDUCE,
                      .type = DIST_FLOAT32,
                      .team = like->team,
                      .topology = like->topology,
                      .tuning = like->tuning};
    fprintf(file, "# predicted microseconds of an all-reduce of float32\n");
    write_choices(&spec, reducing, sizeof reducing / sizeof *reducing, file);
    spec.kind = DIST_ALL_TO_ALL;
    fprintf(file, "# and of an all-to-all, by the bytes of a block\n");
    write_choices(&spec, exchanging, sizeof exchanging / sizeof *exchanging, file);
    if (!like->tuning)
        return;
    fprintf(file,
            "# choices of the tuning file %s: collective, codec, bytes from and to, algorithm; the last that "
            "fits\n",
            like->tuning->file ? like->tuning->file : "");
    dist_tuning_write_rows(like->tuning, file);
}
