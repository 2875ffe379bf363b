
# What only the configuration knows: servers and services. The program says what fits.
function __fish_ldirectord_targets
    set -l words (commandline -opc)
    command ldirectord --complete $words[2..] (commandline -ct) 2>/dev/null
end
complete -c ldirectord -f -n 'count (__fish_ldirectord_targets) >/dev/null' -a '(__fish_ldirectord_targets)'
