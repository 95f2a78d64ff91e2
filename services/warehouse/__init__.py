"""Warehouse: rows that change in a customer's database become events of people."""
