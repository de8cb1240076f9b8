-- Notes that messages of an exchange go to a queue, although the broker's memory is full.
--
-- KEYS  1: the exchange's bindings (a set); 2: those of them that are for ever (a set)
-- ARGV  1: the binding
-- With its memory full the broker lets a script write only after a command that can but free some.
redis.call('SREM', KEYS[1], '')
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[1])
