# What the scripts share: messages, and the system's packages. Sourced, with the package's root as the working directory.

say() { printf '\n== %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Headers and libraries that the program is built with, and an OpenCL for the CPU that its tests run on.
build_packages=(pkg-config ocl-icd-opencl-dev opencl-headers pocl-opencl-icd libdnnl-dev libpng-dev libwebp-dev)
case "$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${ID_LIKE:-}")" in
  *ubuntu*) build_packages+=(libjpeg-turbo8-dev) ;;
  *) build_packages+=(libjpeg62-turbo-dev) ;;
esac

# Installs those of the named packages that are missing; needs Debian or Ubuntu, and root or sudo, only if there are any.
install_packages() {
  command -v dpkg-query >/dev/null ||
    fail "packages are installed on Debian and Ubuntu alone; here, please install what corresponds to: $*"
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "Installing ${missing[*]}"
  local root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "please install as root: ${missing[*]}"
    root=(sudo)
  fi
  "${root[@]}" apt-get update -q
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
}

require_swift() {
  command -v swift >/dev/null || fail "Swift 6.1 or newer is needed: https://www.swift.org/install"
}
