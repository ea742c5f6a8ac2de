-- +goose NO TRANSACTION
-- +goose Up
call search_backfill();
analyze book_search;
