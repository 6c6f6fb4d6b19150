/* Logs what a program writes under a folder and what it makes durable, for mod.rs beside this file.
 *
 * Preloaded with LD_PRELOAD. POWERCUT_ROOT is the folder (canonical path), POWERCUT_LOG the log, to which every event
 * is appended with one writev: so it survives kill -9, and events of all threads have one order. A write is logged after it
 * was done, the end of a sync after it was done, its beginning before: what the log calls durable is durable.
 * Directories are logged as a list of their entries at the beginning of their sync, so it does not matter who
 * created, renamed or removed what (and by which call).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { HELLO = 1, CREATED, WRITTEN, LENGTH, SYNC_BEGIN, SYNC_END, DIR_BEGIN, UNSUPPORTED };

struct event {
    uint32_t magic, kind;
    uint64_t inode, a, length;
};

static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static _Atomic uint64_t next_token = 1;

static void log_event(enum kind kind, uint64_t inode, uint64_t a, const struct iovec *data, int count) {
    struct iovec parts[IOV_MAX];
    struct event event = {0x54554350, kind, inode, a, 0};
    if (count > IOV_MAX - 1) abort();
    for (int i = 0; i < count; i++) {
        parts[i + 1] = data[i];
        event.length += data[i].iov_len;
    }
    parts[0] = (struct iovec){&event, sizeof event};
    ssize_t written = syscall(SYS_writev, log_fd, parts, count + 1);
    if (written != (ssize_t)(sizeof event + event.length)) abort(); /* a log with holes proves nothing */
}

static void log_text(enum kind kind, const char *text) {
    log_event(kind, 0, 0, &(struct iovec){(void *)text, strlen(text)}, 1);
}

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("POWERCUT_ROOT"), *path = getenv("POWERCUT_LOG");
    if (!folder || !path || strlen(folder) >= sizeof root) return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) abort();
    strcpy(root, folder);
    root_length = strlen(root);
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 500);
    if (log_fd < 0) abort();
    syscall(SYS_close, fd);
    log_text(HELLO, root);
}

/* Is this a file (or folder) under the root? */
static int tracked(int fd, struct stat *stat) {
    char link[64], path[PATH_MAX];
    if (log_fd < 0 || fd == log_fd || fd < 0 || fstat(fd, stat) != 0) return 0;
    if (!S_ISREG(stat->st_mode) && !S_ISDIR(stat->st_mode)) return 0;
    static const char prefix[] = "/proc/self/fd/";
    char digits[16];
    int n = 0, value = fd;
    do digits[n++] = '0' + value % 10; while (value /= 10);
    memcpy(link, prefix, sizeof prefix - 1);
    char *end = link + sizeof prefix - 1;
    while (n) *end++ = digits[--n];
    *end = 0;
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < (ssize_t)root_length || memcmp(path, root, root_length) != 0) return 0;
    return length == (ssize_t)root_length || path[root_length] == '/';
}

static void synced_at_once(int fd, const struct stat *stat) {
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_DSYNC)) { /* O_SYNC includes it */
        uint64_t token = next_token++;
        log_event(SYNC_BEGIN, stat->st_ino, token, NULL, 0);
        log_event(SYNC_END, stat->st_ino, token, NULL, 0);
    }
}

/* `offset` -1: it was written at the file's position, which is behind it now. */
static void written(int fd, const struct iovec *data, int count, off_t offset, ssize_t length) {
    struct stat stat;
    struct iovec parts[IOV_MAX];
    int saved = errno, used = 0;
    if (length > 0 && tracked(fd, &stat) && S_ISREG(stat.st_mode)) {
        if (offset < 0) offset = syscall(SYS_lseek, fd, 0, SEEK_CUR) - length;
        size_t left = length;
        for (int i = 0; i < count && left; i++) {
            size_t part = data[i].iov_len < left ? data[i].iov_len : left;
            parts[used++] = (struct iovec){data[i].iov_base, part};
            left -= part;
            if (used == IOV_MAX - 1 || !left || i == count - 1) {
                size_t sum = 0;
                for (int j = 0; j < used; j++) sum += parts[j].iov_len;
                log_event(WRITTEN, stat.st_ino, offset, parts, used);
                offset += sum;
                used = 0;
            }
        }
        synced_at_once(fd, &stat);
    }
    errno = saved;
}

ssize_t write(int fd, const void *data, size_t length) {
    ssize_t done = syscall(SYS_write, fd, data, length);
    written(fd, &(struct iovec){(void *)data, length}, 1, -1, done);
    return done;
}

ssize_t writev(int fd, const struct iovec *data, int count) {
    ssize_t done = syscall(SYS_writev, fd, data, count);
    written(fd, data, count, -1, done);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
    ssize_t done = syscall(SYS_pwrite64, fd, data, length, offset);
    written(fd, &(struct iovec){(void *)data, length}, 1, offset, done);
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

ssize_t pwritev64(int fd, const struct iovec *data, int count, off_t offset) {
    ssize_t done = syscall(SYS_pwritev, fd, data, count, offset, 0);
    written(fd, data, count, offset, done);
    return done;
}
ssize_t pwritev(int fd, const struct iovec *data, int count, off_t offset) { return pwritev64(fd, data, count, offset); }

static void changed_length(int fd, uint64_t length) {
    struct stat stat;
    int saved = errno;
    if (tracked(fd, &stat)) {
        log_event(LENGTH, stat.st_ino, length, NULL, 0);
        synced_at_once(fd, &stat);
    }
    errno = saved;
}

int ftruncate64(int fd, off_t length) {
    int done = syscall(SYS_ftruncate, fd, length);
    if (done == 0) changed_length(fd, length);
    return done;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static void unsupported(int fd, const char *call) {
    struct stat stat;
    int saved = errno;
    if (tracked(fd, &stat)) log_text(UNSUPPORTED, call);
    errno = saved;
}

int fallocate64(int fd, int mode, off_t offset, off_t length) {
    struct stat stat;
    int done = syscall(SYS_fallocate, fd, mode, offset, length);
    if (done == 0 && mode == 0 && fstat(fd, &stat) == 0) changed_length(fd, stat.st_size);
    if (done == 0 && mode != 0 && mode != FALLOC_FL_KEEP_SIZE) unsupported(fd, "fallocate");
    return done;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }
int posix_fallocate64(int fd, off_t offset, off_t length) { return fallocate64(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
    ssize_t done = syscall(SYS_copy_file_range, in, in_at, out, out_at, length, flags);
    if (done > 0) unsupported(out, "copy_file_range");
    return done;
}

ssize_t sendfile64(int out, int in, off_t *at, size_t length) {
    ssize_t done = syscall(SYS_sendfile, out, in, at, length);
    if (done > 0) unsupported(out, "sendfile");
    return done;
}
ssize_t sendfile(int out, int in, off_t *at, size_t length) { return sendfile64(out, in, at, length); }

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE)) unsupported(fd, "mmap");
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, length, protection, flags, fd, offset);
}

/* A folder's entries: inode, is it a folder, name, each ended by a NUL. */
static void log_folder(int fd, const struct stat *stat, uint64_t token) {
    char *text = NULL;
    size_t length = 0;
    int own = syscall(SYS_openat, fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    FILE *list = open_memstream(&text, &length);
    if (!dir || !list) abort();
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat found;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
        fprintf(list, "%llu %d %s%c", (unsigned long long)found.st_ino, S_ISDIR(found.st_mode) != 0, entry->d_name, 0);
    }
    fclose(list);
    closedir(dir);
    log_event(DIR_BEGIN, stat->st_ino, token, &(struct iovec){text, length}, 1);
    free(text);
}

static int sync_with(long number, int fd) {
    struct stat stat;
    int saved = errno, is_tracked = tracked(fd, &stat);
    uint64_t token = next_token++;
    if (is_tracked && S_ISDIR(stat.st_mode)) log_folder(fd, &stat, token);
    else if (is_tracked) log_event(SYNC_BEGIN, stat.st_ino, token, NULL, 0);
    errno = saved;
    int done = syscall(number, fd);
    saved = errno;
    if (is_tracked && done == 0) log_event(SYNC_END, stat.st_ino, token, NULL, 0);
    errno = saved;
    return done;
}

int fsync(int fd) { return sync_with(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }
/* sync_file_range promises nothing about metadata or the disk's cache, so it counts as nothing here. */

int openat64(int folder, const char *path, int flags, ...) {
    struct stat stat;
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    int saved = errno;
    int creates = log_fd >= 0 && (flags & O_CREAT) && fstatat(folder, path, &stat, 0) != 0;
    errno = saved;
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    saved = errno;
    if (fd >= 0 && log_fd >= 0 && tracked(fd, &stat)) {
        if (creates) log_event(CREATED, stat.st_ino, 0, NULL, 0);
        else if (flags & O_TRUNC) log_event(LENGTH, stat.st_ino, 0, NULL, 0);
    }
    errno = saved;
    return fd;
}

int openat(int folder, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return openat64(folder, path, flags, mode);
}
int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return openat64(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return openat64(AT_FDCWD, path, flags, mode);
}
int creat(const char *path, mode_t mode) { return openat64(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* The path form of ftruncate: by way of a descriptor. */
int truncate64(const char *path, off_t length) {
    int fd = openat64(AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int done = ftruncate64(fd, length);
    syscall(SYS_close, fd);
    return done;
}
int truncate(const char *path, off_t length) { return truncate64(path, length); }

int mkdirat(int folder, const char *path, mode_t mode) {
    struct stat stat;
    int done = syscall(SYS_mkdirat, folder, path, mode);
    if (done == 0 && log_fd >= 0) {
        int fd = syscall(SYS_openat, folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && tracked(fd, &stat)) log_event(CREATED, stat.st_ino, 0, NULL, 0);
        if (fd >= 0) syscall(SYS_close, fd);
    }
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
