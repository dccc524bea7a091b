"""From documents to training batches, and problems with answers.

Source --documents.texts--> text --shards.write_shards--> shards.json, tokens-*.bin, ends.npy
{name: Shards}, weights, seed --mixture.Mixture--> batch(step): a pure function
Problems --problems.read_problems--> [Problem]
"""
