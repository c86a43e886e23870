#!/usr/bin/awk -f
# Adds up the closing lines of every test binary in the output of `cargo test`.
# Exits non-zero where a test failed, or none ran at all.
{ gsub(/\033\[[0-9;]*m/, "") }
/^test result: / {
    for (i = 2; i <= NF; i++) {
        if ($i == "passed;") passed += $(i - 1)
        if ($i == "failed;") failed += $(i - 1)
        if ($i == "ignored;") ignored += $(i - 1)
    }
}
# A binary that died, or did not build, has no closing line to add.
/^error: / { broken = 1 }
END {
    if (broken && !failed) print "cargo reports an error that is no failed test: see above"
    if (!passed && !failed) print "no test ran"
    printf "%d passed, %d failed%s\n", passed, failed, ignored ? ", " ignored " skipped" : ""
    exit !passed || failed > 0
}
