"""Dashboard, alarms and the budget."""
