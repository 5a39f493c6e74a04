# Sourced by the other scripts: installs what Pine needs, where it is missing. Says nothing where all is there.

# The C libraries that Pine is built with. libssl-dev comes with its pkg-config file, as the others do.
pine_libraries=(libpq libnghttp2 openssl zlib libcrypt)
pine_library_packages=(libpq-dev libnghttp2-dev libssl-dev zlib1g-dev libcrypt-dev pkg-config)

say() { echo "${0##*/}: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Whether PostgreSQL's server programs are installed, wherever they came from.
has_postgres_server() {
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null || compgen -G '/usr/libexec/postgresql*/initdb' >/dev/null
}

need_swift() {
    command -v swift >/dev/null || fail "Swift 6.2 or newer is missing: https://www.swift.org/install says how to get it"
}

# Installs the Debian packages that are missing, as root or by sudo.
install_packages() {
    local missing=() package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "these packages are missing, and there is no sudo; as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]} by apt-get"
    # Old lists are good enough as long as they lead to the packages.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        </dev/null >/dev/null 2>&1 && return 0
    "${as_root[@]}" apt-get update -qq </dev/null >&2 || fail "apt-get update failed"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        </dev/null >&2 || fail "apt-get install ${missing[*]} failed"
}

# Libraries and a PostgreSQL server. Further packages, for Debian only, as arguments.
need_packages() {
    if command -v apt-get >/dev/null; then
        local packages=("${pine_library_packages[@]}" "$@")
        has_postgres_server || packages+=(postgresql)
        install_packages "${packages[@]}"
        return
    fi
    local library missing=()
    for library in "${pine_libraries[@]}"; do
        pkg-config --exists "$library" 2>/dev/null || missing+=("$library")
    done
    has_postgres_server || missing+=(postgresql)
    [ ${#missing[@]} -gt 0 ] || return 0
    say "missing: ${missing[*]}. Install them, then run this again:"
    say "  Fedora: dnf install libpq-devel libnghttp2-devel openssl-devel zlib-devel libxcrypt-devel pkgconf postgresql-server"
    say "  Alpine: apk add postgresql-dev nghttp2-dev openssl-dev zlib-dev libxcrypt-dev pkgconf postgresql"
    fail "  macOS:  brew install libpq libnghttp2 openssl zlib libxcrypt pkg-config postgresql@17"
}
