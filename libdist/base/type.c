#include "base/type.h"

#define TYPE_LIST(X)                                                                                         \
    X(DIST_FLOAT32, "float32", 4)                                                                            \
    X(DIST_FLOAT16, "float16", 2)                                                                            \
    X(DIST_BFLOAT16, "bfloat16", 2)                                                                          \
    X(DIST_FLOAT64, "float64", 8)                                                                            \
    X(DIST_INT32, "int32", 4)                                                                                \
    X(DIST_INT64, "int64", 8)

#define REDUCTION_LIST(X)                                                                                    \
    X(DIST_SUM, "sum")                                                                                       \
    X(DIST_AVERAGE, "average")                                                                               \
    X(DIST_MIN, "min")                                                                                       \
    X(DIST_MAX, "max")

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
#define TYPE_ROW(type, name, bytes) [type] = {name, bytes},
    TYPE_LIST(TYPE_ROW)
#undef TYPE_ROW
};
_Static_assert(sizeof types / sizeof *types == DIST_TYPES, "TYPE_LIST lacks a dist_type");

static const char *const reductions[] = {
#define REDUCTION_ROW(reduction, name) [reduction] = name,
    REDUCTION_LIST(REDUCTION_ROW)
#undef REDUCTION_ROW
};
_Static_assert(sizeof reductions / sizeof *reductions == DIST_REDUCTIONS,
               "REDUCTION_LIST lacks a dist_reduction");

/* The enums come from a program's call, so that any number may arrive here. */
bool dist_type_valid(dist_type type)
{
    return (unsigned)type < DIST_TYPES;
}

bool dist_reduction_valid(dist_reduction reduction)
{
    return (unsigned)reduction < DIST_REDUCTIONS;
}

size_t dist_type_bytes(dist_type type)
{
    return dist_type_valid(type) ? types[type].bytes : 0;
}

const char *dist_type_name(dist_type type)
{
    return dist_type_valid(type) ? types[type].name : "unknown";
}

const char *dist_reduction_name(dist_reduction reduction)
{
    return dist_reduction_valid(reduction) ? reductions[reduction] : "unknown";
}
