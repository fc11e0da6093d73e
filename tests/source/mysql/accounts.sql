-- Accounts whose sum stays, and the transfers between them.
CREATE DATABASE shop;
USE shop;
CREATE TABLE accounts (id int PRIMARY KEY, balance decimal(12,2) NOT NULL, note text);
CREATE TABLE transfers (id bigint PRIMARY KEY AUTO_INCREMENT, one int, two int, amount decimal(12,2));
INSERT INTO accounts SELECT seq, 1000, REPEAT('x', 500) FROM seq_1_to_20000;
DELIMITER ;;
CREATE PROCEDURE transfer(first int, second int, cents decimal(12,2)) BEGIN
  -- Two sessions may deadlock: then the transfer is not made at all.
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; SELECT 'not made'; END;
  START TRANSACTION;
  UPDATE accounts SET balance = balance - cents WHERE id = first;
  UPDATE accounts SET balance = balance + cents WHERE id = second;
  INSERT INTO transfers (one, two, amount) VALUES (first, second, cents);
  COMMIT;
  SELECT 'made';
END;;
DELIMITER ;
