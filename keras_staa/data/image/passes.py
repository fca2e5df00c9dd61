"""A `tf.data.Dataset` whose passes follow from a seed and their number."""

# What TensorFlow takes where no global seed is set.
_NO_GLOBAL_SEED = 87654321


def passes(tf, read, seed, batches, shard):
    """Batches that follow from the seed, the number of the pass and their place in it.

    A `tf.data.Dataset` that shuffles does not tell how many passes there were, so a resumed run
    could not continue with the next one.

    Args:
        tf: the module.
        read: function `(order, files) -> dataset`, of the batches of a pass, with two int64
            scalars as the seeds of its shuffling.
        seed: integer.
        batches: integer, how many there are.
        shard: (index, count): of each batch this is the part of one of several processes.

    Returns:
        The data set of `(batch, draw)`, `draw` an int64 scalar that follows from seed, pass and
        place, and the function `set_epoch(epoch)`, after which the next pass is that of the epoch.
    """
    # What tf.data runs is on the CPU, and so must be what it reads.
    part, parts = shard
    with tf.device("CPU:0"):
        following = tf.Variable(0, dtype="int64", trainable=False)

    def drawn(*parts, shape=()):
        seeds = tf.stack([tf.cast(part, "int64") for part in parts])
        return tf.random.stateless_uniform(shape, seeds, minval=None, maxval=None, dtype="int64")

    @tf.autograph.experimental.do_not_convert
    def one(number):
        # `shuffle` would mix its seed with the global one, and fails where that is 0.
        tf.compat.v1.get_default_graph().seed = _NO_GLOBAL_SEED
        order, files, each = tf.unstack(drawn(seed, number, shape=(3,)))
        batches = read(order, files).enumerate()
        return batches.map(lambda place, batch: (batch, drawn(each, place * parts + part)))

    def set_epoch(epoch):
        following.assign(epoch)

    number = tf.data.Dataset.range(1).map(lambda _: following.assign_add(1) - 1)
    counted = number.flat_map(one).apply(tf.data.experimental.assert_cardinality(batches))
    return counted, set_epoch
