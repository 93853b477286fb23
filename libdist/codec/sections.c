#include "codec/sections.h"

#include <stddef.h>
#include <string.h>

#include "codec/crc32c.h"

enum {
    WINDOW = 16 * 1024
}; /* elements between two looks: what was just written is in the L2 cache at most */

void dist_sections_open(dist_sections *sections, const dist_codec *codec, uint64_t count, const void *frame)
{
    const dist_coding coding = dist_codec_coding(codec, count);
    *sections = (dist_sections){.frame = (uint8_t *)(uintptr_t)frame,
                                .coding = coding,
                                .layout = dist_layout_of(coding, count),
                                .count = count,
                                .next = WINDOW};
}

void dist_sections_begin(dist_sections *sections, const dist_codec *codec, uint64_t count, void *frame)
{
    dist_sections_open(sections, codec, count, frame);
    for (int s = 1; s < DIST_SECTIONS; s++) {
        const uint64_t end = sections->layout.at[s - 1] + dist_section_bytes(sections->coding, s - 1, count);
        memset(sections->frame + end, 0, sections->layout.at[s] - end);
    }
}

static void sum_to(dist_sections *sections, uint64_t n)
{
    for (int s = 0; s < DIST_SECTIONS; s++) {
        const uint64_t end = dist_section_bytes(sections->coding, s, n), begin = sections->summed[s];
        sections->crc[s] =
            dist_crc32c(sections->crc[s], sections->frame + sections->layout.at[s] + begin, end - begin);
        sections->summed[s] = end;
    }
}

void dist_sections_advance(dist_sections *sections, uint64_t n)
{
    if (n < sections->next)
        return;
    sum_to(sections, n);
    sections->next = n + WINDOW;
}

uint32_t dist_sections_crc(dist_sections *sections, const dist_frame_header *header)
{
    static const uint8_t zero[DIST_FRAME_GRAIN];
    uint32_t crc = dist_crc32c(0, header, offsetof(dist_frame_header, crc));
    sum_to(sections, sections->count);
    uint64_t end = DIST_FRAME_HEADER;
    for (int s = 0; s < DIST_SECTIONS; s++) {
        crc = dist_crc32c(crc, zero, sections->layout.at[s] - end);
        crc = dist_crc32c_combine(crc, sections->crc[s], sections->summed[s]);
        end = sections->layout.at[s] + sections->summed[s];
    }
    return crc;
}

void dist_sections_seal(dist_sections *sections, uint16_t flags, uint32_t seed)
{
    dist_frame_header header = {.magic = DIST_FRAME_MAGIC,
                                .version = DIST_FRAME_VERSION,
                                .codec = (uint8_t)sections->coding.kind,
                                .flags = flags,
                                .block = sections->coding.block,
                                .seed = seed,
                                .count = sections->count,
                                .kept = sections->coding.kept};
    header.crc = dist_sections_crc(sections, &header);
    memcpy(sections->frame, &header, sizeof header);
}
