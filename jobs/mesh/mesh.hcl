# A path is what was written, for everyone that it passes. The ingress cannot normalise paths, and it hashes them:
# were the sidecars behind it to resolve dots and escapes, /books/1 and /books/./1 would be one book at two gateways,
# and what cannot be normalised (/books/1%00) would be refused without a problem. So none of them touches a path, and the
# gateway refuses, as a problem, each that is not in its plain form (services/gateway/translate.go). "Insecure" is about
# intentions that match paths: a path that does not match as written is denied here, and the services match their
# routes on the path as written too, so that no other spelling of an internal call reaches one.
Kind = "mesh"

HTTP = {
  Incoming = {
    RequestNormalization = {
      InsecureDisablePathNormalization = true
    }
  }
}
