-- A schema with everything that a dump must carry.
CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;
USE shop;
CREATE TABLE `größe` (
  id int PRIMARY KEY AUTO_INCREMENT,
  name varchar(100) NOT NULL UNIQUE,
  art enum('klein','groß','it''s; -- #') NOT NULL DEFAULT 'klein',
  doc longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin CHECK (json_valid(doc)),
  twice int GENERATED ALWAYS AS (bits * 2) STORED,
  again int AS (CHAR_LENGTH(name) * 3) VIRTUAL,
  photo longblob, bits bit(9), place point,
  seen timestamp(6) NULL, made datetime DEFAULT current_timestamp(),
  INDEX by_art (art, made)
) COMMENT 'it''s; `all` -- \\ there';
INSERT INTO `größe` (name, art, doc, photo, bits, place, seen) VALUES
  ('a', 'groß', '{"k": [1, "ü\\n"]}', x'00ff27225c0a0d1a', b'101010101', POINT(1, 2), '2026-01-02 03:04:05.678901'),
  ('it''s; (b), \\ "c"\n\r\t\0\Z', 'it''s; -- #', NULL, '', NULL, NULL, NULL),
  ('日本語 😀', 'klein', '[]', NULL, b'0', NULL, '1970-01-02 00:00:00');
CREATE TABLE `order``lines` (
  id bigint PRIMARY KEY AUTO_INCREMENT, `größe` int NOT NULL, amount decimal(20,4) NOT NULL, d double, f float,
  CONSTRAINT fk FOREIGN KEY (`größe`) REFERENCES `größe` (id) ON DELETE CASCADE
) AUTO_INCREMENT = 1000;
INSERT INTO `order``lines` (`größe`, amount, d, f) SELECT 1 + seq MOD 3, seq / 7, seq / 3, seq / 4 FROM seq_1_to_5000;
CREATE TABLE empty (x int) ENGINE=InnoDB;
CREATE TABLE parts (id int, at date) PARTITION BY RANGE (YEAR(at)) (PARTITION a VALUES LESS THAN (2026), PARTITION b VALUES LESS THAN MAXVALUE);
INSERT INTO parts VALUES (1, '2025-05-05'), (2, '2026-05-05');
CREATE SEQUENCE numbers START WITH 7;
SELECT NEXTVAL(numbers);
CREATE TABLE log (at timestamp(6) DEFAULT current_timestamp(6), what text);
CREATE TABLE flyway_schema_history (installed_rank int PRIMARY KEY, version varchar(50), description varchar(200), success tinyint(1));
INSERT INTO flyway_schema_history VALUES (1, '1.0', 'first', 1), (2, '1.1', 'it''s (2)', 1), (3, '1.2', 'failed', 0);
CREATE VIEW totals AS SELECT g.name, SUM(l.amount) AS total FROM `größe` g JOIN `order``lines` l ON l.`größe` = g.id GROUP BY g.name;
CREATE VIEW above AS SELECT * FROM totals WHERE total > 0 AND name <> 'a;b';
DELIMITER ;;
CREATE TRIGGER `nach` AFTER INSERT ON `order``lines` FOR EACH ROW BEGIN
  -- it's; a comment
  INSERT INTO log (what) VALUES (CONCAT('new; ', NEW.id, "'"));
END;;
CREATE FUNCTION tax(x decimal(20,4)) RETURNS decimal(20,4) DETERMINISTIC RETURN x * 0.19;;
CREATE PROCEDURE add_line(g int) BEGIN
  /* several; statements */
  INSERT INTO `order``lines` (`größe`, amount) VALUES (g, 1);
  SELECT ';;' AS x;
END;;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2026-01-01 03:00:00' DO BEGIN DELETE FROM log WHERE at < now() - INTERVAL 1 DAY; END;;
SET sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES');;
CREATE FUNCTION slash() RETURNS varchar(9) DETERMINISTIC RETURN CONCAT('\', ';');;
DELIMITER ;
