//! `kind = "redis"` against real servers.

mod access;
mod content;
mod drill;
mod failures;

use crate::gate::shop::Shop;
use crate::support::redis::RedisServer;

/// Makes a working tree whose only source is the server at a URL, which is given as a secret.
fn shop(url: &str, settings: &str) -> Shop {
    Shop::with(&format!(
        "[gate]\nretry = {{ attempts = 1 }}\n\n[[source]]\nname = \"cache\"\nkind = \"redis\"\n\
         url = {{ env = \"REDIS_URL\" }}\n{settings}\n"
    ))
    .env("REDIS_URL", url)
}

/// Puts some of everything into a server: every type, small and large, in three databases.
fn fill(server: &RedisServer) {
    server.tell(
        r#"SET text "gr\xc3\xbc\xc3\x9fe\r\n"
SET "binary \x00\xff\r\nkey" "\x00\x01\xfe\xff\r\n"
SET number 12345678901
SET small -7
SET empty ""
SET short "expires" PXAT 4102444800123
SETBIT bitmap 100000 1
PFADD visitors a b c d e f g h
GEOADD places 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
RPUSH list:small a b 3
SADD set:ints 1 2 3 70000 -5000000000
SADD set:small a b c
ZADD zset:small 1.5 a -inf b +inf c
HSET hash:small field value other 7
XADD stream 1-1 a 1 b 2
XADD stream 2-1 a 3
XADD stream 2-2 a 4 c 5
XDEL stream 2-1
XGROUP CREATE stream group 0
XREADGROUP GROUP group consumer COUNT 1 STREAMS stream >
XGROUP CREATECONSUMER stream group idle
XGROUP CREATE stream new $
XADD stream:trimmed MAXLEN 1 5-1 a 1
EVAL "for i = 1, 5000 do redis.call('RPUSH', 'list:large', 'item ' .. i) end" 0
EVAL "redis.call('RPUSH', 'list:plain', string.rep('abcdefgh', 20000), 'b')" 0
EVAL "for i = 1, 3000 do redis.call('SADD', 'set:large', 'member ' .. i) end" 0
EVAL "for i = 1, 3000 do redis.call('ZADD', 'zset:large', i / 7, 'member ' .. i) end" 0
EVAL "for i = 1, 3000 do redis.call('HSET', 'hash:large', 'field ' .. i, 'value ' .. i) end" 0
EVAL "for i = 1, 3000 do redis.call('XADD', 'stream:large', i .. '-1', 'field', i) end" 0
EVAL "redis.call('SET', 'compressible', string.rep('all work and no play ', 50000))" 0
PEXPIREAT hash:large 4102444800456
SELECT 3
SET in:three 3
EVAL "for i = 1, 20000 do redis.call('SET', 'key:' .. i, 'value ' .. i) end" 0
SELECT 15
SADD in:fifteen x
"#,
    );
    server.ask(&["FUNCTION", "LOAD", "#!lua name=shop\nredis.register_function('total', function(keys) return 7 end)"]);
}

/// Returns everything about a server that a restore must bring back.
fn everything(server: &RedisServer) -> Vec<String> {
    let mut facts = vec![server.digest(), server.ask(&["FUNCTION", "LIST", "WITHCODE"])];
    // The rest of a line is a mean of times to live, which goes by.
    let keys = server.ask(&["INFO", "keyspace"]);
    facts.extend(keys.lines().filter_map(|line| line.split_once(",avg_ttl")).map(|(keys, _)| keys.to_owned()));
    // The digest has neither the moment at which a key expires nor the groups of a stream.
    for key in ["short", "hash:large", "text"] {
        facts.push(server.ask(&["PEXPIRETIME", key]));
    }
    for stream in ["stream", "stream:trimmed"] {
        facts.push(server.ask(&["XINFO", "STREAM", stream, "FULL"]));
    }
    facts
}
