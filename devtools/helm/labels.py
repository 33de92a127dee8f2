"""What is noted on Helm's record of a release, so that no state file is needed."""

LABEL_DIGEST = "devtools.ameide.io/digest"
LABEL_READY = "devtools.ameide.io/ready"  # the digest that became ready, or `AFTER_DUE`
AFTER_DUE = "after"  # it is ready, but its `after` commands have not ended well
LABEL_READY_REVISION = "devtools.ameide.io/ready-revision"  # Helm passes labels on to the next revision
LABEL_TESTED = "devtools.ameide.io/tested"  # the digest that tests passed on, or `TESTS_FAILED`
TESTS_FAILED = "failed"
LABEL_LAYER = "devtools.ameide.io/layer"
LABEL_STACK = "devtools.ameide.io/stack"
LABEL_CHART = "devtools.ameide.io/chart"  # the kind of chart: local, vendored or stand-in
LABEL_LAUNCH = "devtools.ameide.io/launch"  # which helm process wrote the revision: `devtools.helm.ownership`
ANNOTATION_OBJECTS = "devtools.ameide.io/objects"
