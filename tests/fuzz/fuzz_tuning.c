/* Tuning files that nobody measured. A refused one is named in a sentence; one that is taken has a text, which is taken too
 * and is its own, and `auto` finds an algorithm by it for any call. */
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "collective/tuning.h"

const char *dist_fuzz_subject(unsigned subject)
{
    return subject == 0 ? "tuning" : NULL;
}

static const dist_topology *cluster(void)
{
    static dist_topology *described;
    if (!described)
        FUZZ_REQUIRE(dist_topology_describe(&described, "2,1") == DIST_OK);
    return described;
}

static void check_choices(const dist_tuning *tuning)
{
    static const uint64_t counts[] = {0, 1, 1000, (uint64_t)1 << 40};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int kind = 0; kind < DIST_COLLECTIVES; kind++) {
            dist_spec spec = {.kind = (dist_collective_kind)kind,
                              .type = DIST_FLOAT32,
                              .count = counts[i],
                              .topology = cluster(),
                              .tuning = tuning};
            FUZZ_REQUIRE(dist_choose(&spec) == DIST_OK);
            FUZZ_REQUIRE(spec.algo.kind > DIST_ALGO_AUTO && spec.algo.kind < DIST_ALGOS);
            FUZZ_REQUIRE(spec.algo.shots >= 0 && spec.algo.shots <= 2);
        }
}

static void check_taken(const dist_tuning *tuning)
{
    dist_tuning *again;
    char *text, *same;
    size_t bytes, same_bytes;
    FUZZ_REQUIRE(tuning->streams >= 0 && tuning->streams <= 64);
    for (int l = 0; l < tuning->sites * tuning->sites; l++)
        FUZZ_REQUIRE(tuning->link[l].latency >= 0 && tuning->link[l].latency <= 3600 &&
                     tuning->link[l].bandwidth >= 0 && tuning->link[l].bandwidth <= 1e15);
    FUZZ_REQUIRE(dist_tuning_text(tuning, NULL, &text, &bytes) == DIST_OK);
    FUZZ_REQUIRE(dist_tuning_read(&again, "again", text, bytes, cluster()) == DIST_OK);
    FUZZ_REQUIRE(dist_tuning_text(again, NULL, &same, &same_bytes) == DIST_OK);
    FUZZ_REQUIRE(bytes == same_bytes && memcmp(text, same, bytes) == 0);
    check_choices(again);
    free(text);
    free(same);
    dist_tuning_free(again);
}

dist_fuzz_result dist_fuzz_one(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1); /* what reads beyond its end leaves the memory */
    dist_tuning *tuning;
    FUZZ_REQUIRE(text);
    memcpy(text, data, size);
    const dist_status status = dist_tuning_read(&tuning, "here", text, size, cluster());
    FUZZ_REQUIRE(status == DIST_OK || status == DIST_ERR_CONFIG);
    FUZZ_REQUIRE((status == DIST_OK) == (tuning != NULL));
    if (status == DIST_OK)
        check_taken(tuning);
    else
        FUZZ_REQUIRE(strncmp(dist_last_error(), "here", 4) == 0);
    dist_tuning_free(tuning);
    free(text);
    return (dist_fuzz_result){0, status == DIST_OK};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dist_fuzz_one(data, size);
    return 0;
}

static size_t append(uint8_t *input, size_t length, const char *text)
{
    memcpy(input + length, text, strlen(text));
    return length + strlen(text);
}

/* The lines of a file, each there or not. */
size_t dist_fuzz_seed(unsigned subject, uint64_t draw, uint8_t input[DIST_FUZZ_ROOM])
{
    static const char *const lines[] = {
        "# measured on Monday\n",
        "wire tcp\n",
        "streams 16 # of them\n",
        "link site0 site1 0.01503 23810000\n",
        "\tlink  site1 site0 1e-05 1.5e+08\r\n",
        "link site0 site0 0 1e15\n",
        "all-reduce none 0 65536 doubling\n",
        "all-reduce none 65537 max hier\n",
        "all-reduce int4:block=64:sr 10 18446744073709551615 hier:shots=2\n",
        "all-reduce topk:density=0.01 4096 4096 hier\n",
        "reduce-scatter none 0 max ring\n",
        "all-gather none 0 1000 mpi\n",
        "broadcast none 1 2 halving\n",
        "barrier none 0 max mpi\n",
        "\n",
    };
    size_t length = append(input, 0, "libdist-tuning 1\ncluster sites site0:0-1 site1:2\n");
    (void)subject;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (fuzz_draw(&draw) % 2)
            length = append(input, length, lines[i]);
    return length;
}
