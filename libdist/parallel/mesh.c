#include "parallel/mesh.h"

#include <limits.h>
#include <string.h>

#include "base/error.h"

/* Reads "pp:4" or "dp:2" and moves behind it. */
static bool read_axis(const char **text, bool *pipeline, int *size)
{
    const char *t = *text;
    *pipeline = strncmp(t, "pp:", 3) == 0;
    if (!*pipeline && strncmp(t, "dp:", 3) != 0)
        return false;
    *size = 0;
    for (t += 3; *t >= '0' && *t <= '9' && *size < INT_MAX / 10 - 9; t++)
        *size = *size * 10 + (*t - '0');
    *text = t;
    return *size > 0;
}

static bool read_mesh(const char *text, int ranks, dist_mesh *mesh)
{
    bool first, second;
    int a, b;
    if (!read_axis(&text, &first, &a))
        return false;
    if (*text == '\0') { /* the other axis is what remains */
        *mesh = (dist_mesh){.positions = first ? a : ranks / a, .replicas = first ? ranks / a : a};
        return true;
    }
    if (*text++ != ',' || !read_axis(&text, &second, &b) || *text != '\0' || first == second)
        return false;
    *mesh =
        (dist_mesh){.positions = first ? a : b, .replicas = first ? b : a, .chosen = true, .outer = first};
    return true;
}

dist_status dist_mesh_parse(const char *text, int ranks, dist_mesh *mesh)
{
    *mesh = (dist_mesh){.positions = ranks, .replicas = 1, .chosen = true, .outer = true};
    if (!text)
        return DIST_OK;
    if (!read_mesh(text, ranks, mesh))
        return dist_fail(DIST_ERR_ARGUMENT,
                         "mesh '%s': write pp:P,dp:D or dp:D,pp:P (the outer axis first), or pp:P alone",
                         text);
    if ((long long)mesh->positions * mesh->replicas != ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "mesh '%s' has %lld ranks, the job has %d", text,
                         (long long)mesh->positions * mesh->replicas, ranks);
    mesh->chosen |= mesh->positions == 1 || mesh->replicas == 1;
    return DIST_OK;
}
