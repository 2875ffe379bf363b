# What only the configuration knows: servers and services. The program says what fits.
_ldirectord_targets() {
    # Not COMP_WORDS: bash takes every colon for the end of a word.
    local line="${COMP_LINE:0:COMP_POINT}" words=() word
    read -ra words <<<"$line"
    if [[ $line == *[[:space:]] ]]; then
        words+=("")
    fi
    local current="${words[-1]}"
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        COMPREPLY+=("$word")
    done < <(command ldirectord --complete "${words[@]:1}" 2>/dev/null)
    if ((${#COMPREPLY[@]} == 0)); then
        return 1
    fi
    # For the same reason, only what stands behind the last colon is put in.
    if [[ $COMP_WORDBREAKS == *:* && $current == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*:}"}"}")
    fi
}

