"""The labels and annotations that devtools writes on Helm's record of a release, so that it needs no state file."""

LABEL_DIGEST = "devtools.ameide.io/digest"
LABEL_READY = "devtools.ameide.io/ready"  # the digest that became ready, or `AFTER_DUE`
AFTER_DUE = "after"  # it is ready, but its `after` commands have not succeeded
LABEL_READY_REVISION = "devtools.ameide.io/ready-revision"  # Helm passes labels on to the next revision
LABEL_TESTED = "devtools.ameide.io/tested"  # the digest for which the tests passed, or `TESTS_FAILED`
TESTS_FAILED = "failed"
LABEL_LAYER = "devtools.ameide.io/layer"
LABEL_STACK = "devtools.ameide.io/stack"
LABEL_CHART = "devtools.ameide.io/chart"  # the kind of chart: local, vendored or stand-in
LABEL_LAUNCH = "devtools.ameide.io/launch"  # which helm process wrote the revision: `devtools.helm.ownership`
ANNOTATION_OBJECTS = "devtools.ameide.io/objects"
