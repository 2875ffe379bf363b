# Runs external-perl checks, one after another, for the program that started it.
#
# Asked on standard input with five strings, each ended by a NUL: the script's file and its four
# arguments. Says there, which is a socket, with one byte that the script begins. Answers with one
# line on what was standard output:
#
#     exit STATUS       the script has ended
#     die WORDS         the script has died
#     cannot WORDS      the file cannot be compiled here
#     read WORDS        the file cannot be read
#     want WORDS        the file cannot be read for want of memory or descriptors
#
# A script is compiled when it is new or has changed. Its lexical variables are new for each check,
# package variables and loaded modules stay.

# Before any pragma, so that the script has none but its own.
sub Check::evaluate { eval $_[0] }

package Check;
use strict;
use warnings;

our ($helper, $running, $compiled, $status) = ($$, 0, 0, 0);

BEGIN {
    *CORE::GLOBAL::exit = sub {
        my $given = @_ ? $_[0] : 0;
        # A child that the script has forked leaves as usual.
        CORE::exit($given) if !$Check::running || $$ != $Check::helper;
        $Check::status = $given;
        no warnings 'exiting';
        last CHECK;
    };
}

open(my $ask, '+<&', \*STDIN) or CORE::exit(127);
open(my $answer, '>&', \*STDOUT) or CORE::exit(127);
open(STDIN, '<', '/dev/null');
open(STDOUT, '>', '/dev/null');
select((select($answer), $| = 1)[0]);

# One line, whatever the words are.
sub say_so {
    my ($kind, $words) = @_;
    $words =~ s/[\r\n]+/ /g;
    print $answer "$kind ", substr($words, 0, 1000), "\n";
}

my %scripts;

# What is known of a script: its code, as a sub or as text.
sub script {
    my ($file) = @_;
    my @stat = stat($file) or return;
    my $stamp = join(' ', @stat[0, 1, 7, 9, 10]);
    return $scripts{$file} if $scripts{$file} && $scripts{$file}{stamp} eq $stamp;
    open(my $in, '<', $file) or return;
    my $source = do { local $/; <$in> };
    return unless defined $source;
    my %script = (stamp => $stamp, data => '');
    # As `perl FILE` does: what follows __END__ is for the handle DATA.
    $script{data} = $1 if $source =~ s/^__(?:END|DATA)__[ \t]*\r?\n(.*)\z//ms;
    (my $name = $file) =~ s/["\n]/_/g;
    $script{text} = "package main; \$Check::compiled = 1;\n#line 1 \"$name\"\n$source\n;1";
    $script{code} = as_sub($script{text});
    return $scripts{$file} = \%script;
}

# The script as a sub, which saves compiling it again; not if one of its own subs uses a lexical
# variable of the file: that sub would see the variable of the first run.
sub as_sub {
    my ($text) = @_;
    my $shares = 0;
    local $SIG{__WARN__} = sub { $shares ||= $_[0] =~ /is not available|will not stay shared/ };
    local $@;
    my $code = evaluate("use warnings 'closure'; sub { $text }");
    return $shares ? undef : $code;
}

sub run {
    my ($file, @arguments) = @_;
    my $script = script($file)
        # ENOMEM, ENFILE, EMFILE; the module Errno would take its time.
        or return say_so((grep { $! == $_ } 12, 23, 24) ? 'want' : 'read', "$!");
    local ($/, $,, $\, $|, $_) = ("\n", undef, undef, 0, undef);
    local ($0, %ENV) = ($file, %ENV);
    local %SIG = %SIG;
    local @ARGV = @arguments;
    no warnings 'once';
    open(main::DATA, '<', \$script->{data});
    chdir('/');
    my $died = '';
    syswrite($ask, '.');
    ($running, $compiled, $status) = (1, 0, 0);
    CHECK: {
        local $@;
        if ($script->{code}) { eval { $script->{code}->() } }
        else { evaluate($script->{text}) }
        $died = $@;
    }
    $running = 0;
    alarm(0);
    return say_so('exit', $status) if $died eq '';
    say_so($compiled ? 'die' : 'cannot', "$died");
}

while (1) {
    local $/ = "\0";
    my @words;
    for (1 .. 5) {
        defined(my $word = <$ask>) or CORE::exit(0);
        chomp $word;
        push @words, $word;
    }
    run(@words);
}
