#!/usr/bin/awk -f
# Refuses an arrow between the modules of a crate that does not go down.
#
#   .ci/layers.awk .ci/layers.txt
#
# The file has a line for each crate, `SOURCES: FLOOR | FLOOR | ...`, the lowest first; a floor is the modules on it, the
# top-level ones. A module may use those on floors below its own: none above, and none beside. An arrow is a path that
# begins with `crate::`, or with enough `super::` to come to the same, in a `use` or anywhere else; in `pub(in crate::...)`
# it is none, in comments and strings neither. What the root itself defines stands above all, so nobody may use it.

/^[ \t]*(#|$)/ { next }
{
    colon = index($0, ":")
    crate(substr($0, 1, colon - 1), substr($0, colon + 1))
}
END {
    if (!crates) complain("no crate is listed in " FILENAME)
    exit bad > 0
}

function complain(text) {
    print "tidy: " text
    bad++
}

function crate(sources, list,   floors, modules, count, i, j, n, name, found, file, command, paths, total, k) {
    crates++
    split("", floor)
    split("", there)
    split("", depth)
    count = split(list, floors, "|")
    for (i = 1; i <= count; i++) {
        n = split(floors[i], modules, " ")
        for (j = 1; j <= n; j++) {
            if (modules[j] in floor) complain(sources ": `" modules[j] "` is listed twice")
            floor[modules[j]] = i
        }
    }
    command = "find '" sources "' -name '*.rs' 2>/dev/null | LC_ALL=C sort"
    total = 0
    while ((command | getline file) > 0) paths[++total] = file
    close(command)
    if (!total) complain(sources ": there are no sources")
    for (k = 1; k <= total; k++) {
        name = place(sources, paths[k])
        depth[paths[k]] = split(name, found, "/")
        if (name != "" && !(found[1] in there)) {
            there[found[1]] = 1
            if (!(found[1] in floor)) complain(paths[k] ": `" found[1] "` is on no floor of " FILENAME)
        }
    }
    for (name in floor) if (!(name in there)) complain(sources ": `" name "` is on a floor of " FILENAME " and not there")
    for (k = 1; k <= total; k++) paths_of(paths[k])
    for (k = 1; k <= total; k++) {
        split(place(sources, paths[k]), found, "/")
        if (found[1] in floor) arrows(paths[k], found[1])
    }
}

# The module of a file, as a/b; empty for the root.
function place(sources, file,   name) {
    name = substr(file, length(sources) + 2)
    sub(/\.rs$/, "", name)
    sub(/(^|\/)(mod|lib|main)$/, "", name)
    return name
}

# Files that are a module of this one, wherever they lie: they are as deep as that.
function paths_of(file,   line, dir) {
    dir = file
    sub(/[^\/]*$/, "", dir)
    while ((getline line < file) > 0) {
        if (line ~ /^[ \t]*#\[path = "[^"]*"\]/) {
            sub(/^[^"]*"/, "", line)
            sub(/".*/, "", line)
            if ((dir line) in depth) depth[dir line] = depth[file] + 1
        }
    }
    close(file)
}

# Looks at every path in a file of this module.
function arrows(file, module,   text, line, before, token, n, nested, opened, ups, number) {
    text = ""
    comment = quoted = 0
    raw = ""
    while ((getline line < file) > 0) text = text code(line) "\n"
    close(file)
    before = ""
    number = 1
    n = nested = 0
    while (match(text, /[{}]|(crate|super)[ \t\n]*::/)) {
        before = before substr(text, 1, RSTART - 1)
        token = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        number += gsub(/\n/, " ", before)
        if (token == "{") {
            n++
            if (before ~ /(^|[^A-Za-z0-9_])mod +[A-Za-z0-9_]+ *$/) opened[++nested] = n
        } else if (token == "}") {
            if (nested && opened[nested] == n) nested--
            n--
        } else if (before !~ /[A-Za-z0-9_]$/) {
            number += gsub(/\n/, " ", token)
            ups = 0
            line = token text
            # Of a chain, its first link counts them all.
            if (before !~ /super *:: *$/) {
                while (match(line, /^[ \t\n]*super[ \t\n]*::/)) {
                    ups++
                    line = substr(line, RLENGTH + 1)
                }
            }
            if (ups && ups >= depth[file] + nested) names(file, number, module, line)
            if (token ~ /^crate/ && before !~ /\( *in *$/) names(file, number, module, text)
        }
        # Only what stands close before a path or a brace says what that is.
        before = substr(before, length(before) - 200) token
    }
}

# The modules that a path begins with, or each of a group of paths.
function names(file, number, module, text,   level, name, length_of) {
    sub(/^[ \t\n]+/, "", text)
    if (text !~ /^\{/) {
        use(file, number, module, first(text))
        return
    }
    level = 0
    name = ""
    while (match(text, /^([{},]|[^{},]+)/)) {
        # What is called from here on matches too.
        length_of = RLENGTH
        if (text ~ /^[{},]/) {
            if (level == 1 && name != "") use(file, number, module, name)
            name = ""
            if (text ~ /^\{/) level++
            if (text ~ /^\}/ && !--level) return
            # What stands behind a nested group belongs to the path before it.
        } else {
            name = level == 1 ? first(substr(text, 1, length_of)) : ""
        }
        text = substr(text, length_of + 1)
    }
}

function first(path) {
    sub(/^[ \t\n]*(r#)?/, "", path)
    if (path ~ /^\*/) return "*"
    match(path, /^[A-Za-z0-9_]*/)
    return substr(path, 1, RLENGTH)
}

function use(file, number, module, used,   where) {
    where = file ":" number ": "
    if (used == module) return
    if (!(used in floor)) complain(where "`" module "` uses `" used "` of the root, which is on no floor")
    else if (floor[used] > floor[module]) complain(where "`" module "` stands below `" used "` and uses it")
    else if (floor[used] == floor[module]) complain(where "`" module "` stands beside `" used "` and uses it")
}

# A line without its comments, and without what is in strings and character literals. Both may go on in the next line.
function code(text,   out, token, at) {
    out = ""
    while (text != "") {
        if (comment) {
            if (!match(text, /\/\*|\*\//)) return out
            comment += substr(text, RSTART, 1) == "/" ? 1 : -1
            text = substr(text, RSTART + 2)
        } else if (raw != "") {
            if (!(at = index(text, raw))) return out
            text = substr(text, at + length(raw))
            raw = ""
        } else if (quoted) {
            if (!match(text, /\\.|"/)) return out
            if (substr(text, RSTART, 1) == "\"") quoted = 0
            text = substr(text, RSTART + RLENGTH)
        } else {
            if (!match(text, /\/\/|\/\*|'|b?r#*"|"/)) return out text
            token = substr(text, RSTART, RLENGTH)
            out = out substr(text, 1, RSTART - 1)
            text = substr(text, RSTART + RLENGTH)
            if (token == "//") return out
            if (token == "/*") comment = 1
            else if (token == "\"") quoted = 1
            else if (token == "'") {
                # A literal, with bytes beyond ASCII in it where there are; else the beginning of a lifetime.
                if (match(text, /^(\\.[^']*|[^'\\][^ -~]*)'/)) text = substr(text, RLENGTH + 1)
                else out = out "'"
            } else {
                raw = token
                sub(/^b?r/, "", raw)
                raw = "\"" substr(raw, 1, length(raw) - 1)
            }
        }
    }
    return out
}
