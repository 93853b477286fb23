#include "dump.h"

#include <string.h>

bool gpt_dump_gradient(FILE *file, const gpt_model *model, size_t parameter)
{
    const gpt_parameter *p = &model->parameters[parameter];
    if (fseek(file, 4 * (long)(p->weight - model->weights), SEEK_SET) != 0)
        return false;
    for (size_t i = 0; i < p->count; i++) {
        uint32_t bits;
        memcpy(&bits, &p->gradient[i], sizeof bits);
        unsigned char bytes[4];
        for (int b = 0; b < 4; b++)
            bytes[b] = (unsigned char)(bits >> 8 * b);
        if (fwrite(bytes, 1, sizeof bytes, file) != sizeof bytes)
            return false;
    }
    return true;
}
