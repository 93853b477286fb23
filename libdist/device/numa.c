#define _GNU_SOURCE

#include "device/numa.h"

#include "base/error.h"

#ifdef DIST_HWLOC

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- whether it is worth asking ---- */

/* Loading hwloc takes 7 ms of processor time on a small machine and 15 on one of 256 processors: too much of dist_init where there is
 * nothing to place. These looks take 50 us. */
static const char *reason_against(void)
{
    char list[64] = "";
    cpu_set_t mine;
    if (getenv("HWLOC_SYNTHETIC") || getenv("HWLOC_XMLFILE")) /* hwloc's machine is another */
        return NULL;
    FILE *file = fopen("/sys/devices/system/node/has_memory", "r");
    if (!file)
        return "the system tells of no NUMA nodes";
    const bool read = fgets(list, sizeof list, file) != NULL;
    fclose(file);
    if (read && !strpbrk(list, ",-"))
        return "there is one NUMA node";
    if (sched_getaffinity(0, sizeof mine, &mine) == 0 && CPU_COUNT(&mine) >= sysconf(_SC_NPROCESSORS_ONLN))
        return "this process is not bound";
    return NULL;
}

/* ---- hwloc ---- */

static dist_status load(hwloc_topology_t *topology)
{
    if (hwloc_topology_init(topology) < 0)
        return dist_fail(DIST_ERR_SYSTEM, "hwloc cannot start: %s", strerror(errno));
    hwloc_topology_set_all_types_filter(*topology,
                                        HWLOC_TYPE_FILTER_KEEP_NONE); /* but nodes and processors */
    hwloc_topology_set_type_filter(
        *topology, HWLOC_OBJ_GROUP,
        HWLOC_TYPE_FILTER_KEEP_STRUCTURE); /* by which nodes know their processors */
    hwloc_topology_set_components(*topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST,
                                  "x86"); /* it would move this thread from processor to processor */
    if (hwloc_topology_load(*topology) < 0) {
        const int code = errno;
        hwloc_topology_destroy(*topology);
        return dist_fail(DIST_ERR_SYSTEM, "hwloc cannot find out what this machine is: %s", strerror(code));
    }
    return DIST_OK;
}

/* `near` becomes the nodes that are near the processors of this process. */
static dist_status look(hwloc_topology_t topology, dist_numa *numa, hwloc_nodeset_t near)
{
    hwloc_cpuset_t processors = hwloc_bitmap_alloc();
    if (!processors || hwloc_get_cpubind(topology, processors, HWLOC_CPUBIND_PROCESS) < 0) {
        const int code = errno;
        hwloc_bitmap_free(processors);
        return dist_fail(DIST_ERR_SYSTEM, "hwloc cannot tell where this process may run: %s", strerror(code));
    }
    hwloc_cpuset_to_nodeset(topology, processors, near);
    hwloc_bitmap_free(processors);
    numa->nodes = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);
    numa->usable = hwloc_bitmap_weight(near);
    numa->node = numa->usable == 1 ? hwloc_bitmap_first(near) : -1;
    numa->real = hwloc_topology_is_thissystem(topology);
    return DIST_OK;
}

dist_status dist_numa_find(dist_numa *numa)
{
    hwloc_topology_t topology;
    hwloc_nodeset_t near = hwloc_bitmap_alloc();
    if (!near)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a set of NUMA nodes");
    dist_status status = load(&topology);
    if (status >= 0) {
        status = look(topology, numa, near);
        hwloc_topology_destroy(topology);
    }
    hwloc_bitmap_free(near);
    return status;
}

/* ---- placing ---- */

/* True where the process was started with a policy of its own; what that is does not matter. */
static bool has_policy(hwloc_topology_t topology)
{
    hwloc_membind_policy_t policy = HWLOC_MEMBIND_FIRSTTOUCH;
    hwloc_nodeset_t nodes = hwloc_bitmap_alloc();
    const bool known = nodes && hwloc_get_membind(topology, nodes, &policy, HWLOC_MEMBIND_BYNODESET) >= 0;
    hwloc_bitmap_free(nodes);
    return known && policy != HWLOC_MEMBIND_FIRSTTOUCH;
}

/* NULL where the system took it, else why not. */
static const char *bind_range(hwloc_topology_t topology, void *memory, size_t bytes, dist_numa *numa,
                              hwloc_nodeset_t near)
{
    if (look(topology, numa, near) < 0)
        return dist_last_error();
    if (!numa->real)
        return "HWLOC_SYNTHETIC or HWLOC_XMLFILE describes another machine";
    if (numa->nodes < 2 || numa->usable != 1)
        return "this process is not bound to one NUMA node of several";
    if (has_policy(topology))
        return "this process was started with a memory policy, which stands";
    if (hwloc_set_area_membind(topology, memory, bytes, near, HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_BYNODESET) ==
        0)
        return NULL;
    dist_fail(DIST_ERR_SYSTEM, "the system refuses NUMA node %d: %s", numa->node, strerror(errno));
    return dist_last_error();
}

/* The same with a topology for the time being. */
static const char *find_and_bind(void *memory, size_t bytes, dist_numa *numa)
{
    hwloc_topology_t topology;
    hwloc_nodeset_t near = hwloc_bitmap_alloc();
    const char *reason = "no memory for a set of NUMA nodes";
    if (near && load(&topology) < 0)
        reason = dist_last_error();
    else if (near) {
        reason = bind_range(topology, memory, bytes, numa, near);
        hwloc_topology_destroy(topology);
    }
    hwloc_bitmap_free(near);
    return reason;
}

bool dist_numa_place(void *memory, size_t bytes, const dist_log *log)
{
    dist_numa numa = {.node = -1};
    const char *reason = reason_against();
    if (!reason)
        reason = find_and_bind(memory, bytes, &numa);
    if (reason)
        dist_log_write(log, DIST_LOG_DEBUG, "shared memory is placed where it is first touched: %s", reason);
    else
        dist_log_write(log, DIST_LOG_DEBUG, "shared memory is placed on NUMA node %d", numa.node);
    return !reason;
}

#else

dist_status dist_numa_find(dist_numa *numa)
{
    *numa = (dist_numa){.node = -1};
    return dist_fail(DIST_ERR_UNSUPPORTED, "this libdist is built without hwloc");
}

bool dist_numa_place(void *memory, size_t bytes, const dist_log *log)
{
    (void)memory;
    (void)bytes;
    dist_log_write(log, DIST_LOG_DEBUG,
                   "shared memory is placed where it is first touched: this libdist is built without hwloc");
    return false;
}

#endif
