/** A build that was cancelled, or ran into a timeout of the pipeline. */
class Interrupted extends RuntimeException {
    final String kind

    Interrupted(String kind) {
        super('the pipeline ended it: ' + kind)
        this.kind = kind
    }
}
