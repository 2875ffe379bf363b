# What only the configuration knows: servers and services. The program says what fits.
_ldirectord_targets() {
    local -a found
    local line
    for line in "${(@f)$(command ldirectord --complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        if [[ -n $line ]]; then
            # A colon would end the word.
            found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        fi
    done
    ((${#found})) && _describe -V target found
}

